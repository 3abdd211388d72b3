"""Gateways one behind the other sample as one: fault 23."""

from __future__ import annotations

import os
from math import sqrt

import pytest

from sidecar.errors import GrpcStatus
from tests.fleet.member import FleetGateway
from tests.fleet.stage import Stage, ids
from tests.harness import otlp
from tests.harness.clients import Client
from tests.harness.patience import until

pytestmark = pytest.mark.process

RATE = 0.1
AT_ONCE = 2000


@pytest.mark.parametrize("n", [20_000, pytest.param(1_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(600)])])
def test_two_in_a_row_keep_what_one_keeps(fleet: Stage, n: int) -> None:
    fleet.apply(f"global:\n  sampling_rate: {RATE}\n")
    second, alone = fleet.of("east")[0], fleet.of("west")[0]
    with fleet.gateway("edge", "edge-0", settings={"backends": [second.address]}, alone=True) as first:
        until(lambda: first.heard() and first.status().sampling_rate == RATE, "it samples as all do")
        before = second.ledger()
        with fleet.accounted() as account:
            for _ in range(n // AT_ONCE):
                traces = [os.urandom(16) for _ in range(AT_ONCE)]
                send(first, traces)
                send(alone, traces)
        after, edge = second.ledger(), first.ledger()
    assert after.sampled_out == before.sampled_out, "nothing is sampled twice"
    assert edge.received == n
    assert edge.forwarded == after.forwarded - before.forwarded
    kept: list[set[bytes]] = [set(), set()]
    for index in range(len(fleet.sinks)):
        kept[index // 2] |= {trace_id for trace_id, _ in ids(account.bodies(index))}
    assert kept[0] == kept[1]
    assert abs(len(kept[0]) - n * RATE) < 3 * sqrt(n * RATE * (1 - RATE)), "adjusted counts are true"


def send(gateway: FleetGateway, traces: list[bytes]) -> None:
    """A span of each trace."""
    with Client(gateway.address) as client:
        body = otlp.request(otlp.span(trace_id, os.urandom(8)) for trace_id in traces)
        assert client.export(body).status is GrpcStatus.OK
