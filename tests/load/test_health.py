"""The drawing in sidecar/load/health.py, arrow by arrow."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.load.health import MOST_FLAPS, STEADY, HealthState, region_health
from sidecar.load.verdict import GOOD, Verdict
from sidecar.model import Health, RegionHealth

BAD = Verdict(False, "status 503")


def looked(state: HealthState, verdicts: str) -> HealthState:
    """`+` a good look, `-` a bad one."""
    for mark in verdicts:
        state.add(GOOD if mark == "+" else BAD)
    return state


def health_of(state: HealthState) -> Health:
    return state.health


@pytest.mark.parametrize(
    ("looks", "health"),
    [
        ("", Health.UNKNOWN),
        ("+", Health.UNKNOWN),
        ("++", Health.HEALTHY),
        ("+-+-+-", Health.UNKNOWN),
        ("--", Health.UNKNOWN),
        ("---", Health.UNHEALTHY),
        ("++--", Health.HEALTHY),
        ("++--+--", Health.HEALTHY),
        ("++---", Health.UNHEALTHY),
        ("---+", Health.UNHEALTHY),
        ("---++", Health.HEALTHY),
        ("---+-+", Health.UNHEALTHY),
    ],
)
def test_looks_in_a_row(looks: str, health: Health) -> None:
    assert looked(HealthState(rise=2, fall=3), looks).health is health


def test_the_reason_is_that_of_the_last_bad_look() -> None:
    state = HealthState(rise=1, fall=1)
    assert state.add(BAD)
    assert state.reason == "status 503"
    assert not state.add(BAD), "nothing new"
    assert state.add(Verdict(False, "no answer"))
    assert (state.health, state.reason) == (Health.UNHEALTHY, "no answer")
    assert state.add(GOOD)
    assert (state.health, state.reason) == (Health.HEALTHY, "")


def test_who_flaps_needs_more_good_looks_each_time_up_to_a_bound() -> None:
    state = looked(HealthState(rise=2, fall=1), "++")
    needed = []
    for _ in range(MOST_FLAPS + 2):
        looked(state, "-")
        needed.append(state.needed)
        assert health_of(looked(state, "+" * (state.needed - 1))) is Health.UNHEALTHY
        assert health_of(looked(state, "+")) is Health.HEALTHY
    assert needed == [4, 8, 16, 32, 32, 32]


def test_who_was_well_for_long_before_it_fell_does_not_flap() -> None:
    state = looked(HealthState(rise=2, fall=1), "++" + "+" * STEADY + "-")
    assert (state.health, state.needed) == (Health.UNHEALTHY, 2)


def test_flaps_are_forgiven_one_by_one() -> None:
    state = looked(HealthState(rise=1, fall=1), "+-++-++++")
    assert (state.health, state.needed) == (Health.HEALTHY, 4)
    looked(state, "+" * STEADY)
    assert state.needed == 2
    looked(state, "+" * STEADY)
    assert state.needed == 1


@settings(max_examples=200)
@given(st.lists(st.booleans(), max_size=200), st.integers(1, 5), st.integers(1, 5))
def test_health_changes_no_faster_than_it_may(looks: list[bool], rise: int, fall: int) -> None:
    state = HealthState(rise, fall)
    row = {True: 0, False: 0}
    for ok in looks:
        row[ok], row[not ok] = row[ok] + 1, 0
        before, needed = state.health, state.needed
        changed = state.add(GOOD if ok else BAD)
        assert changed == (state.health is not before)
        if state.health is not before:
            assert row[ok] >= (needed if ok else fall)
            assert (state.health is Health.HEALTHY) == ok
        assert bool(state.reason) == (state.health is Health.UNHEALTHY)


@pytest.mark.parametrize(
    ("healthy", "total", "health"),
    [
        (0, 0, RegionHealth.UNHEALTHY),
        (1, 1, RegionHealth.HEALTHY),
        (4, 5, RegionHealth.HEALTHY),
        (79, 100, RegionHealth.DEGRADED),
        (80, 100, RegionHealth.HEALTHY),
        (1, 2, RegionHealth.DEGRADED),
        (49, 100, RegionHealth.UNHEALTHY),
        (0, 3, RegionHealth.UNHEALTHY),
    ],
)
def test_a_region_by_the_share_of_those_who_are_well(healthy: int, total: int, health: RegionHealth) -> None:
    assert region_health(healthy, total) is health
