import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.sampling.demand import Demand, highest

RATES = st.floats(0, 1)
DEMANDS = st.builds(
    Demand,
    st.one_of(st.just(0.0), st.floats(0.1, 1e6)),
    st.dictionaries(st.sampled_from([0.001, 0.1, 0.25, 0.5, 0.9]), st.floats(0.1, 1e6), max_size=4),
)


def test_what_was_sampled_before_is_not_sampled_twice() -> None:
    """100 spans/s of which 40 are what 10 % left of them: at 10 % all of these stay, and 6 of the other 60."""
    demand = Demand(60.0, {0.1: 40.0})
    assert demand.kept(0.1) == pytest.approx(46.0)
    assert demand.kept(0.05) == pytest.approx(23.0)
    assert demand.kept(0.5) == pytest.approx(70.0)
    assert (demand.kept(0.0), demand.kept(1.0), demand.received) == (0.0, 100.0, 100.0)


def test_the_rate_for_a_sum() -> None:
    demand = Demand(60.0, {0.1: 40.0})
    assert demand.rate_for(23.0) == pytest.approx(0.05)
    assert demand.rate_for(46.0) == pytest.approx(0.1)
    assert demand.rate_for(70.0) == pytest.approx(0.5)
    assert demand.rate_for(100.0) == 1.0
    assert demand.rate_for(0.0) == 0.0


def test_of_what_came_sampled_alone_the_corner_is_the_end() -> None:
    demand = Demand(0.0, {0.25: 40.0})
    assert demand.rate_for(20.0) == pytest.approx(0.125)
    assert demand.rate_for(40.0) == 1.0
    assert Demand().rate_for(0.0) == 1.0


def test_reports_speak_in_powers_of_two() -> None:
    demand = Demand.of(100.0, {2: 30.0, 1: 10.0})
    assert (demand.whole, demand.sampled) == (60.0, {0.25: 30.0, 0.5: 10.0})


def test_a_bias_moves_the_corner() -> None:
    """What was taken for 1/8 is 1/10."""
    assert Demand.of(100.0, {3: 100.0}, bias=1.25).kept(0.05) == pytest.approx(50.0)


def test_reports_that_do_not_add_up_are_no_negative_load() -> None:
    assert Demand.of(10.0, {1: 11.0}).whole == 0.0


@given(DEMANDS, RATES, RATES)
@settings(max_examples=200, deadline=None)
def test_more_rate_never_keeps_less_and_never_more_than_comes(demand: Demand, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0 <= demand.kept(low) <= demand.kept(high) * (1 + 1e-12) <= demand.received * (1 + 1e-9)


@given(DEMANDS, st.floats(0, 1.2))
@settings(max_examples=200, deadline=None)
def test_the_rate_is_the_highest_that_does(demand: Demand, part: float) -> None:
    most = demand.received * part
    rate = demand.rate_for(most)
    assert demand.kept(rate) <= most * (1 + 1e-9) + 1e-9
    assert rate == 1.0 or demand.kept(min(rate * 1.001 + 1e-9, 1.0)) >= most * (1 - 1e-9)


@given(st.lists(DEMANDS, max_size=5), RATES)
@settings(max_examples=200, deadline=None)
def test_a_total_keeps_what_its_parts_keep(demands: list[Demand], rate: float) -> None:
    assert Demand.total(demands).kept(rate) == pytest.approx(sum(demand.kept(rate) for demand in demands))


@given(DEMANDS, RATES, RATES)
@settings(max_examples=200, deadline=None)
def test_a_rate_can_be_lowered_by_a_factor(demand: Demand, rate: float, factor: float) -> None:
    assert demand.at(rate).kept(factor) == pytest.approx(demand.kept(rate * factor), abs=1e-9)


def test_the_highest_level() -> None:
    assert highest(lambda x: x * x, 9.0, 100.0) == pytest.approx(3.0)
    assert highest(lambda x: x, 9.0, 5.0) == 5.0
    assert highest(lambda x: 10.0 + x, 9.0, 5.0) == 0.0
    assert highest(lambda x: min(x, 2.0), 2.0, 5.0) == 5.0
