"""What a fleet keeps: targets, priorities, limits and shedding, with the load of all gateways together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import pytest

from sidecar.model import Signal
from sidecar.snapshot import LedgerRow
from tests.fleet.gauge import Gauge
from tests.fleet.stage import Stage
from tests.harness import otlp
from tests.harness.clients import Clients
from tests.harness.patience import until

pytestmark = pytest.mark.process

TARGET = 1000


@contextmanager
def steady_clients(fleet: Stage, *services: str) -> Iterator[list[Clients]]:
    """A client of each service at the first gateway."""
    gateway = fleet.gateways[0]
    made = [Clients(gateway.address, 1, partial(otlp.spans, 20, service=service)) for service in services]
    try:
        for clients in made:
            clients.__enter__()
        yield made
    finally:
        for clients in made:
            clients.stop()


def kept(fleet: Stage, clients: Sequence[Clients], requests: int) -> dict[str, float]:
    """The share of each service that is kept, while each client makes so many requests."""
    before = fleet.gateways[0].services()
    for progressed in [one.progressed(requests) for one in clients]:
        until(progressed, "they go on")
    shares = {}
    for name, row in fleet.gateways[0].services().items():
        former = before.get(name, LedgerRow(signal=Signal.TRACES, service=name))
        if row.received > former.received:
            shares[name] = 1 - (row.sampled_out - former.sampled_out) / (row.received - former.received)
    return shares


def test_a_target_is_held_as_load_changes(fleet: Stage) -> None:
    fleet.apply(f"global:\n  sampling_strategies: [{{type: adaptive, min_rate: 0.01, target_qps: {TARGET}}}]\n")
    with fleet.accounted() as account:
        gauge = Gauge(fleet)
        with fleet.load(*fleet.gateways[:2], per_trace=1, rate=100, spans=20):
            until(lambda: gauge.holds(TARGET), "two gateways with load keep the target")
            with fleet.load(per_trace=1, rate=100, spans=20):
                until(lambda: account.so_far()[0] > 8 * TARGET, "there is more load")
                until(lambda: gauge.holds(TARGET), "four and three times the load do so too")
            shown = fleet.gateways[3].topology()
    assert account.sampled_out > 0
    assert shown.target is not None
    assert shown.target.led
    east = shown.regions[0].gateways
    assert all(one.target_rate is not None and one.target_rate < 1 for one in east)


def test_rules_keep_what_they_name_and_the_rest_gives_way(fleet: Stage) -> None:
    """A rule pins the rates of its services, `adaptive` moves the others."""
    fleet.apply(
        """
global:
  sampling_strategies:
    - {type: adaptive, min_rate: 0.01, target_qps: 300}
    - type: priority_based
      rules:
        - {priority: high, rate: 1.0, services: [payment]}
        - {priority: low, rate: 0.1, services: ["debug-*"]}
"""
    )
    with fleet.accounted(), steady_clients(fleet, "payment", "debug-1", "shop") as clients:
        until(lambda: kept(fleet, clients, 60)["shop"] < 0.5, "the target is told")
        found = kept(fleet, clients, 100)
    assert found["payment"] == 1.0
    assert 0.03 < found["debug-1"] < 0.2
    assert found["shop"] < 0.5


def test_limits_bound_what_is_kept(fleet: Stage) -> None:
    """A service that is loud has its own limit; all together have another, and who is low gives way first."""
    fleet.apply(
        """
global:
  sampling_strategies:
    - {type: priority_based, rules: [{priority: low, rate: 1.0, services: [batch]}]}
  rate_limiting: {per_service_limit: 500, burst_size: 50}
"""
    )
    with fleet.accounted(), steady_clients(fleet, "shop", "batch") as clients:
        until(lambda: max(kept(fleet, clients, 40).values()) < 0.8, "each is bounded")
        fleet.apply(
            """
global:
  sampling_strategies:
    - {type: priority_based, rules: [{priority: low, rate: 1.0, services: [batch]}]}
  rate_limiting: {max_qps: 600, burst_size: 50}
"""
        )
        until(lambda: (now := kept(fleet, clients, 40))["batch"] < now["shop"] / 2, "the low one gives way")


def test_an_overloaded_gateway_sheds_the_lowest_first(fleet: Stage) -> None:
    """The threshold is put below what the gateway has to do now: step by step it keeps less, low before high."""
    rules = """
  sampling_strategies:
    - type: priority_based
      rules:
        - {priority: low, rate: 1.0, services: [batch]}
        - {priority: high, rate: 1.0, services: [payment]}
"""
    fleet.apply(f"global:{rules}")
    gateway = fleet.gateways[0]
    with fleet.accounted(), steady_clients(fleet, "batch", "shop", "payment") as clients:
        until(lambda: gateway.status().foresight.utilization > 0.01, "it has something to do")
        assert gateway.status().foresight.shed == {}
        degradation = "{enabled: true, threshold: 0.005, recovery_threshold: 0.004, target_rate: 0.05, min_hold: 200ms}"
        fleet.apply(f"global:{rules}  degradation: {degradation}\n")
        seen: list[Mapping[str, float]] = []

        def sheds_all() -> bool:
            seen.append(gateway.status().foresight.shed.get("degradation", {}))
            return seen[-1].get("normal", 1.0) < 0.5

        until(sheds_all, "it sheds the next class, too")
        for shed in seen:
            assert list(shed.values()) == sorted(shed.values())
            assert shed.get("low", 1.0) <= shed.get("normal", 1.0) <= shed.get("high", 1.0)
        found = kept(fleet, clients, 40)
        chance = 0.1
        assert found["batch"] <= found["shop"] + chance
        assert found["shop"] <= found["payment"] + chance
        assert found["batch"] < 0.2
        assert gateway.metric("spangate_degradation_level") > 0
        fleet.apply(f"global:{rules}")
        until(lambda: gateway.status().foresight.shed == {}, "nothing is shed any more")
        until(lambda: set(kept(fleet, clients, 20).values()) == {1.0}, "all is kept again")
