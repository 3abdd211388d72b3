import random

import pytest

from sidecar.sampling.plan import OTHER
from sidecar.supervisor.observed import Counts, ServiceRates, summed_up

HALVES = (4, 0, 6, *[0] * 13)


def rates(*readings: tuple[float, dict[str, Counts]], most: int = 256) -> ServiceRates:
    made = ServiceRates(most)
    for at_s, counts in readings:
        made.add(at_s, counts)
    return made


def test_one_reading_tells_nothing() -> None:
    assert rates().observed() == {}
    assert rates((5.0, {"cart": Counts(10, 5)})).observed() == {}


def test_rates_are_those_between_two_readings() -> None:
    first, later = Counts(100, 50, 10, 5000), Counts(300, 60, 12, 6000, HALVES)
    load = rates((5.0, {"cart": first}), (7.0, {"cart": later})).observed()["cart"]
    assert (load.received, load.kept, load.errors, load.kept_bytes) == (100, 5, 1, 500)
    assert load.arrived == {1: 2, 3: 3}


def test_a_gateway_that_had_no_spans_yet_is_read_too() -> None:
    assert rates((1.0, {}), (2.0, {"cart": Counts(7)})).observed()["cart"].received == 7


def test_services_without_spans_are_not_told() -> None:
    counts = {"cart": Counts(5, 5)}
    assert rates((1.0, counts), (2.0, counts)).observed() == {}


def test_two_readings_at_one_time_change_nothing() -> None:
    known = rates((1.0, {}), (2.0, {"cart": Counts(7)}))
    known.add(2.0, {"cart": Counts(8)})
    assert known.observed()["cart"].received == 7


def test_counters_that_went_back_begin_anew() -> None:
    load = rates((1.0, {"cart": Counts(500, 400)}), (3.0, {"cart": Counts(20, 10)})).observed()["cart"]
    assert (load.received, load.kept) == (10, 5)


def test_the_smaller_services_are_summed_up() -> None:
    counts = {
        "a": Counts(5, 1),
        "b": Counts(9, 2),
        "c": Counts(5, 3, 1, 8, HALVES),
        OTHER: Counts(100, 4, 0, 0, HALVES),
    }
    assert summed_up(counts, 2) == {
        "b": Counts(9, 2),
        "a": Counts(5, 1),
        OTHER: Counts(105, 7, 1, 8, tuple(2 * n for n in HALVES)),
    }


@pytest.mark.parametrize("most", [0, 1, 5, 50])
def test_sums_lose_nothing(most: int) -> None:
    dice = random.Random(most)
    counts = {str(i): Counts(dice.randrange(3), dice.randrange(3), 1, 1, HALVES) for i in range(40)}
    sums = summed_up(counts, most)
    assert len(sums) <= most + 1
    assert sum(one.received for one in sums.values()) == sum(one.received for one in counts.values())
    told = [one for one in counts.values() if one.received]
    assert sum(one.kept for one in sums.values()) == sum(one.kept for one in told)
