from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.schema import RoutingConfig
from sidecar.control.records import StatsRecord
from sidecar.control.region import added, differs, doubts, factors, load_differs, stats_of, view_of
from sidecar.model import Health, RegionHealth, RoutingStrategy
from sidecar.sampling.plan import OTHER, ServiceLoad
from sidecar.snapshot import Load
from tests.control.records import REGION, collector, gateway

INTELLIGENT = RoutingConfig(strategy=RoutingStrategy.INTELLIGENT)


def test_a_collector_that_says_so_is_down() -> None:
    assert doubts([collector("a"), collector("b", health=Health.UNHEALTHY)], []) == {"b": "unhealthy"}


def test_most_gateways_must_fail_to_reach_it() -> None:
    here = [collector("a"), collector("b")]
    one = gateway("g1", suspects={"a": "refused"})
    assert doubts(here, [one, gateway("g2")]) == {}
    two = gateway("g2", suspects={"a": "refused"})
    assert doubts(here, [one, two, gateway("g3")]) == {"a": "2 of 3 gateways cannot reach it: refused"}


def test_a_view_counts_up_only_when_it_says_something_new() -> None:
    here = [collector("b"), collector("a", weight=2.0)]
    first = view_of(REGION, here, {}, {}, None)
    assert first is not None
    assert (first.epoch, [member.id for member in first.members]) == (1, ["a", "b"])
    assert [member.weight for member in first.members] == [2.0, 1.0]
    assert view_of(REGION, here, {}, {}, first) is None
    second = view_of(REGION, here, {"a": "refused"}, {}, first, token=7)
    assert second is not None
    assert (second.epoch, second.down, second.token) == (2, ("a",), 7)
    assert second.members[0].reason == "refused"


def test_weights_follow_load_only_under_intelligent() -> None:
    here = [collector("a", load=Load(cpu=0.9, memory=0.9)), collector("b", load=Load(cpu=0.1, memory=0.1))]
    assert factors(here, [], {}, RoutingConfig()) == {"a": 1.0, "b": 1.0}
    weights = factors(here, [], {}, INTELLIGENT)
    assert weights["a"] < 1 < weights["b"]


def test_latency_seen_by_gateways_counts() -> None:
    here = [collector("a"), collector("b")]
    seen = gateway("g", loads={"a": Load(latency_ms=100, qps=10), "b": Load(latency_ms=1, qps=10)})
    weights = factors(here, [seen], {}, INTELLIGENT)
    assert weights["a"] < weights["b"]


def test_the_sums_of_a_region() -> None:
    load = ServiceLoad(received=100, errors=1, kept=10, arrived={2: 5.0})
    gateways = [
        gateway("g1", observed={"shop": load}, load=Load(latency_ms=10, bytes_per_s=5)),
        gateway("g2", observed={"shop": load, "pay": load}, load=Load(latency_ms=40, bytes_per_s=5)),
    ]
    here = [collector("a"), collector("b"), collector("c", health=Health.UNHEALTHY)]
    stats = stats_of(REGION, here, gateways, {"c": "x"})
    assert (stats.received, stats.kept, stats.bytes_per_s, stats.gateways) == (300, 30, 10, 2)
    assert stats.latency_ms == 30
    assert stats.observed["shop"] == ServiceLoad(received=200, errors=2, kept=20, arrived={2: 10.0})
    assert (stats.health, stats.healthy, stats.collectors) == (RegionHealth.DEGRADED, 2, 3)


@given(st.dictionaries(st.text("abcdef", min_size=1), st.floats(1, 1e6), max_size=20), st.integers(1, 8))
def test_no_span_is_lost_in_the_rest(rates: dict[str, float], most: int) -> None:
    sums = added([{name: ServiceLoad(received=rate) for name, rate in rates.items()}], most)
    assert len(sums) <= most + 1
    assert abs(sum(load.received for load in sums.values()) - sum(rates.values())) <= 1e-6 * sum(rates.values())
    if len(rates) > most:
        assert OTHER in sums


def test_what_is_noise_is_not_written_again() -> None:
    def stats(rate: float, kept: float = 0.0) -> StatsRecord:
        return stats_of(REGION, [], [gateway("g", observed={"s": ServiceLoad(received=rate, kept=kept)})], {})

    assert not differs(stats(100), stats(101))
    assert differs(stats(100), stats(110))
    assert differs(stats(100), stats(100, 50))
    assert not load_differs(Load(cpu=0.50), Load(cpu=0.52))
    assert load_differs(Load(cpu=0.50), Load(cpu=0.60))
