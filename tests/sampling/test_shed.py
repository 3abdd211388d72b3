from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.model import Priority
from sidecar.sampling.plan import SamplingPlan, ServiceLoad, ServiceRate, Shed
from sidecar.sampling.shed import ORDER, at_level, both, kept_by_class, left_at, level_for, within

KEPT = st.lists(st.one_of(st.just(0.0), st.floats(0.001, 1e6)), min_size=4, max_size=4)
FLOORS = st.floats(0, 0.5)
PARTS = st.floats(0, 1)


def shares(shed: Shed) -> list[float]:
    return [getattr(shed, name) for name in ORDER]


@pytest.mark.parametrize(
    ("level", "left"),
    [
        (0.0, [1.0, 1.0, 1.0, 1.0]),
        (0.125, [0.6, 1.0, 1.0, 1.0]),
        (0.25, [0.2, 1.0, 1.0, 1.0]),
        (0.5, [0.2, 0.2, 1.0, 1.0]),
        (0.875, [0.2, 0.2, 0.2, 0.6]),
        (1.0, [0.2, 0.2, 0.2, 0.2]),
    ],
)
def test_low_goes_first_and_errors_last(level: float, left: list[float]) -> None:
    assert shares(at_level(level, 0.2)) == pytest.approx(left)


def test_no_more_is_shed_than_has_to_be() -> None:
    assert within([40.0, 60.0, 10.0, 5.0], 95.0, 0.01) == Shed(low=0.5)
    assert within([40.0, 60.0, 10.0, 5.0], 115.0, 0.01) == Shed()


def test_where_the_floor_is_not_enough_all_give_way() -> None:
    assert shares(within([10.0, 10.0, 10.0, 10.0], 2.0, 0.1)) == pytest.approx([0.05] * 4)
    assert shares(within([10.0, 0.0, 0.0, 0.0], 0.0, 0.1))[0] == 0.0


def test_what_is_kept_by_class() -> None:
    """A tenth of cart's spans are errors, whatever its class."""
    plan = SamplingPlan(rate=0.5, services={"debug": ServiceRate(0.1, Priority.LOW)})
    observed = {
        "cart": ServiceLoad(received=100.0, errors=10.0),
        "debug": ServiceLoad(received=100.0),
        "edge": ServiceLoad(received=10.0, arrived={1: 10.0}),
        "gone": ServiceLoad(),
    }
    assert kept_by_class(plan, observed) == pytest.approx((10.0, 45.0 + 10.0, 0.0, 5.0))


def test_one_on_top_of_the_other() -> None:
    assert both(Shed(low=0.5, errors=0.5), Shed(low=0.5, high=0.25)) == Shed(low=0.25, high=0.25, errors=0.5)


@given(KEPT, PARTS, FLOORS)
@settings(max_examples=200, deadline=None)
def test_a_level_is_the_lowest_that_does(kept: list[float], part: float, floor: float) -> None:
    most = sum(kept) * part
    level = level_for(kept, most, floor)
    assert 0 <= level <= 1
    assert level == 1 or left_at(kept, level, floor) == pytest.approx(most, rel=1e-6, abs=1e-6)


@given(KEPT, PARTS, FLOORS)
@settings(max_examples=200, deadline=None)
def test_no_more_is_kept_than_may_be(kept: list[float], part: float, floor: float) -> None:
    left = shares(within(kept, sum(kept) * part, floor))
    assert sum(n * share for n, share in zip(kept, left, strict=True)) <= sum(kept) * part * (1 + 1e-9) + 1e-6


@given(KEPT, PARTS, FLOORS)
@settings(max_examples=200, deadline=None)
def test_nobody_gives_way_before_those_below_have(kept: list[float], part: float, floor: float) -> None:
    left = shares(within(kept, sum(kept) * part, floor))
    assert left == sorted(left)
    for lower, higher in pairwise(left):
        assert higher == 1 or lower <= floor + 1e-9
