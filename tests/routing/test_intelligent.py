import pytest

from sidecar.config.schema import RoutingConfig
from sidecar.model import RoutingStrategy
from sidecar.routing.intelligent import LEAST_WEIGHT, Observed, score, weigh

ROUTING = RoutingConfig(
    strategy=RoutingStrategy.INTELLIGENT, load_weight=0.7, latency_weight=0.3, capacity_weight=0.0, dead_band=0.1
)
ABC = frozenset({"a", "b", "c"})


@pytest.mark.parametrize(
    ("load", "latency_ms", "points"), [(0, 0, 1.0), (1, 0, 0.3), (0.5, 9, 0.38), (2, 1e9, 0.0), (-1, -5, 1.0)]
)
def test_the_score(load: float, latency_ms: float, points: float) -> None:
    assert score(Observed(load=load, latency_ms=latency_ms), ROUTING) == pytest.approx(points, abs=1e-6)


def test_free_capacity_counts_if_it_is_to() -> None:
    routing = RoutingConfig(load_weight=0.0, latency_weight=0.0, capacity_weight=0.5)
    assert score(Observed(load=1, latency_ms=99, available=0.4), routing) == pytest.approx(0.2)


def test_weights_are_relative_to_the_mean() -> None:
    seen = {"a": Observed(load=0.2, latency_ms=0), "b": Observed(load=0.6, latency_ms=0)}
    same = {name: Observed(load=0.9, latency_ms=4) for name in ABC}
    assert weigh(seen, {}, ABC, ROUTING) == {"a": 1.1875, "b": 0.8125, "c": 1.0}
    assert set(weigh(same, {}, ABC, ROUTING).values()) == {1.0}


def test_within_the_dead_band_nothing_moves() -> None:
    seen = {"a": Observed(load=0.2, latency_ms=0), "b": Observed(load=0.6, latency_ms=0)}
    held = {"a": 1.25, "b": 0.9375, "c": 3.0}
    assert weigh(seen, held, ABC, ROUTING) == {"a": 1.25, "b": 0.8125, "c": 3.0}


def test_a_member_in_trouble_keeps_a_little() -> None:
    seen = {"a": Observed(load=1, latency_ms=1e9), "b": Observed(load=0, latency_ms=0)}
    assert weigh(seen, {"a": 1.0}, frozenset(seen), ROUTING)["a"] == LEAST_WEIGHT


def test_where_everything_is_on_fire_all_count_the_same() -> None:
    seen = {name: Observed(load=1, latency_ms=float("inf")) for name in ABC}
    assert weigh(seen, {}, ABC, ROUTING) == {"a": 1.0, "b": 1.0, "c": 1.0}


def test_who_is_gone_has_no_weight_and_who_was_down_gets_one() -> None:
    seen = {"a": Observed(load=0, latency_ms=0), "gone": Observed(load=0, latency_ms=0)}
    assert weigh(seen, {"gone": 1.0, "b": 0.0}, frozenset({"a", "b"}), ROUTING) == {"a": 1.0, "b": 1.0}
