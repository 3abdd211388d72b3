from math import inf

import pytest

from sidecar.sampling.cost import Spending, even_pace
from tests.sampling.configs import HOUR_UNIX_S, paced

STRATEGY = paced(3600.0, per_span=0.5)
HOUR = int(HOUR_UNIX_S // 3600)


def test_what_is_kept_is_spent() -> None:
    spending = Spending().went_on(STRATEGY, 10.0, HOUR_UNIX_S + 100, 2.0)
    assert spending == Spending(HOUR, 10.0, HOUR_UNIX_S + 100)
    assert spending.went_on(STRATEGY, 20.0, HOUR_UNIX_S + 103, 3.0).spent == pytest.approx(40.0)


def test_what_is_left_is_paced() -> None:
    spending = Spending(HOUR, 600.0, HOUR_UNIX_S)
    assert spending.affordable(STRATEGY, HOUR_UNIX_S + 3000) == pytest.approx(3000 / 0.5 / 600)
    assert Spending(HOUR, 9999.0, HOUR_UNIX_S).affordable(STRATEGY, HOUR_UNIX_S) == 0.0


def test_the_last_moments_do_not_get_all_that_is_left() -> None:
    assert Spending().affordable(STRATEGY, HOUR_UNIX_S + 3599.9) == pytest.approx(3600 / 0.5 / 10)


def test_a_new_hour_begins_with_its_own_part_of_the_time() -> None:
    spending = Spending(HOUR, 3000.0, HOUR_UNIX_S + 3598)
    after = spending.went_on(STRATEGY, 10.0, HOUR_UNIX_S + 3603, 5.0)
    assert after == Spending(HOUR + 1, 15.0, HOUR_UNIX_S + 3603)


def test_a_time_without_leader_counts() -> None:
    """The successor's first solution comes at once, on the state of a minute ago."""
    spending = Spending(HOUR, 100.0, HOUR_UNIX_S + 100)
    assert spending.went_on(STRATEGY, 10.0, HOUR_UNIX_S + 160, 0.0).spent == pytest.approx(400.0)


@pytest.mark.parametrize("back_s", [5.0, 5000.0])
def test_a_clock_that_goes_back_makes_nothing_undone(back_s: float) -> None:
    spending = Spending(HOUR, 100.0, HOUR_UNIX_S + 100)
    back = spending.went_on(STRATEGY, 10.0, HOUR_UNIX_S + 100 - back_s, 2.0)
    assert back.spent == pytest.approx(110.0)


def test_where_spans_cost_nothing_nothing_is_spent() -> None:
    for strategy in (None, paced(3600.0, per_span=0.0)):
        assert Spending().went_on(strategy, 10.0, HOUR_UNIX_S + 100, 2.0).spent == 0.0
    free = paced(3600.0, per_span=0.0)
    assert (Spending().affordable(free, HOUR_UNIX_S), even_pace(free)) == (inf, inf)


def test_an_even_pace() -> None:
    assert even_pace(STRATEGY) == pytest.approx(2.0)
