"""The drawing in sidecar/deliver/breaker.py, arrow by arrow."""

from __future__ import annotations

import pytest

from sidecar.deliver.breaker import HOLD_MAX_S, HOLD_S, LIMIT, Breaker, State


def opened(now_s: float = 0.0) -> Breaker:
    """A breaker that has just opened."""
    breaker = Breaker()
    held = [breaker.failed(now_s) for _ in range(LIMIT)]
    assert held == [None] * (LIMIT - 1) + [HOLD_S]
    return breaker


def half_open(now_s: float = HOLD_S) -> Breaker:
    """A breaker whose first hold has ended."""
    breaker = opened(now_s - HOLD_S)
    assert breaker.tick(now_s)
    return breaker


def test_it_begins_closed_and_stays_so_without_failures() -> None:
    breaker = Breaker()
    assert breaker.state is State.CLOSED
    assert not breaker.tick(1e9)
    breaker.succeeded()
    assert breaker.state is State.CLOSED


def test_failures_in_a_row_open_it() -> None:
    breaker = opened()
    assert breaker.state is State.OPEN


def test_failures_with_a_success_between_are_not_in_a_row() -> None:
    breaker = Breaker()
    for _ in range(10):
        assert [breaker.failed(0.0) for _ in range(LIMIT - 1)] == [None] * (LIMIT - 1)
        breaker.succeeded()
    assert breaker.state is State.CLOSED


def test_the_hold_ends_when_it_is_over_and_is_told_once() -> None:
    breaker = opened(100.0)
    assert not breaker.tick(100.0)
    assert not breaker.tick(100.0 + HOLD_S - 0.001)
    assert breaker.tick(100.0 + HOLD_S)
    assert breaker.state is State.HALF_OPEN
    assert not breaker.tick(100.0 + HOLD_S)


def test_while_it_is_open_nothing_counts() -> None:
    """Calls that were under way when it opened still end."""
    breaker = opened()
    breaker.succeeded()
    assert breaker.state is State.OPEN
    assert [breaker.failed(0.5) for _ in range(2 * LIMIT)] == [None] * (2 * LIMIT)
    assert breaker.tick(HOLD_S), "the hold has not become longer"


def test_a_success_closes_it() -> None:
    breaker = half_open()
    breaker.succeeded()
    assert breaker.state is State.CLOSED
    held = [breaker.failed(10.0) for _ in range(LIMIT)]
    assert held == [None] * (LIMIT - 1) + [HOLD_S], "it begins anew: the whole count, the first hold"


def test_one_failure_opens_it_again_and_the_hold_doubles_up_to_its_maximum() -> None:
    breaker = opened()
    now_s, held_s = HOLD_S, [HOLD_S]
    for _ in range(8):
        assert breaker.tick(now_s)
        again_s = breaker.failed(now_s)
        assert again_s is not None
        assert breaker.state is State.OPEN
        assert not breaker.tick(now_s + again_s - 0.001)
        now_s += again_s
        held_s.append(again_s)
    assert held_s == [1, 2, 4, 8, 16, 30, 30, 30, 30]
    assert held_s[-1] == HOLD_MAX_S


def test_the_hold_may_end_early() -> None:
    breaker = opened()
    assert breaker.try_again()
    assert breaker.state is State.HALF_OPEN
    assert breaker.failed(0.1) == 2 * HOLD_S


@pytest.mark.parametrize("made", [Breaker, half_open])
def test_without_a_hold_nothing_ends_early(made: type[Breaker]) -> None:
    breaker = made()
    before = breaker.state
    assert not breaker.try_again()
    assert breaker.state is before
