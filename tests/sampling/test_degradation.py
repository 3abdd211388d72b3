"""The drawing in sidecar/sampling/degradation.py, and that it settles."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sidecar.config.fleet import DegradationConfig
from sidecar.sampling.degradation import Degradation, Phase
from sidecar.sampling.plan import Shed
from sidecar.sampling.shed import ORDER, left_at

CONFIG = DegradationConfig(enabled=True, threshold=0.8, target_rate=0.01, recovery_threshold=0.6, min_hold_s=10.0)
EVEN = (1.0, 1.0, 1.0, 1.0)


def after(load: float, seconds: float, degradation: Degradation, start_s: float = 0.0) -> Shed:
    """Measures once a second."""
    shed = Shed()
    for second in range(int(seconds)):
        shed = degradation.step(load, load, 1.0, start_s + second, EVEN)
    return shed


def shedding() -> Degradation:
    """One that has taken its first step at 0 s, at a load of 0.9: a little over a fifth is gone."""
    degradation = Degradation(CONFIG)
    degradation.step(0.9, 0.9, 1.0, 0.0, EVEN)
    assert degradation.phase is Phase.SHEDDING
    return degradation


def test_it_begins_calm_and_stays_so_below_the_threshold() -> None:
    degradation = Degradation(CONFIG)
    assert after(0.799, 100, degradation) == Shed()
    assert (degradation.phase, degradation.level) == (Phase.CALM, 0.0)


def test_a_step_aims_at_the_middle_of_the_thresholds() -> None:
    """0.7 / 0.9 of what is kept are to be left: 4 x (1 - 0.778) = 0.889 of the lowest class go."""
    degradation = Degradation(CONFIG)
    shed = degradation.step(0.9, 0.9, 1.0, 0.0, EVEN)
    assert shed.low == pytest.approx(1 - 0.8889, abs=1e-4)
    assert (shed.normal, shed.high, shed.errors) == (1.0, 1.0, 1.0)
    assert left_at(EVEN, degradation.level, 0.01) == pytest.approx(4 * 0.7 / 0.9)


def test_between_the_thresholds_it_stays() -> None:
    degradation = shedding()
    level = degradation.level
    after(0.7, 1000, degradation)
    assert (degradation.phase, degradation.level) == (Phase.SHEDDING, level)


def test_every_step_holds() -> None:
    degradation = shedding()
    level = degradation.level
    degradation.step(2.0, 2.0, 1.0, 9.9, EVEN)
    assert degradation.level == level
    degradation.step(0.1, 0.1, 1.0, 9.9, EVEN)
    assert degradation.level == level
    degradation.step(2.0, 2.0, 1.0, 10.0, EVEN)
    assert degradation.level > level


def test_a_load_that_stays_ends_at_the_target_rate() -> None:
    shed = after(1.0, 100, Degradation(CONFIG))
    assert [getattr(shed, name) for name in ORDER] == pytest.approx([0.01] * 4)


def test_it_comes_back_in_reverse() -> None:
    degradation = Degradation(CONFIG)
    after(1.0, 100, degradation)
    seen = []
    for second in range(100, 2000):
        shed = degradation.step(0.5, 0.5, 1.0, second, EVEN)
        seen.append([getattr(shed, name) for name in ORDER])
    assert degradation.phase is Phase.CALM
    assert seen[-1] == [1.0] * 4
    for before, then in pairwise(seen):
        assert all(x <= y for x, y in zip(before, then, strict=True))
    for left in seen:
        assert all(y > 0.999 for x, y in pairwise(left) if x > 0.0101)


def test_a_relapse_on_the_way_back() -> None:
    degradation, phases = Degradation(CONFIG), []
    for step, load in enumerate((1.5, 1.5, 0.6, 0.7, 0.8, 0.0, 0.0)):
        degradation.step(load, load, 1.0, step * 10.0, EVEN)
        phases.append(degradation.phase)
    up, back, calm = Phase.SHEDDING, Phase.RECOVERING, Phase.CALM
    assert phases == [up, up, back, back, up, calm, calm]


@pytest.mark.parametrize(
    ("forecast", "confidence", "level_rises"),
    [(0.9, 1.0, True), (0.9, 0.5, True), (0.9, 0.4, False), (1.5, 0.1, False)],
)
def test_a_forecast_counts_as_far_as_it_is_trusted(forecast: float, confidence: float, level_rises: bool) -> None:
    degradation = Degradation(CONFIG)
    degradation.step(0.7, forecast, confidence, 0.0, EVEN)
    assert (degradation.level > 0) is level_rises


def test_a_forecast_of_better_times_does_not_count() -> None:
    degradation = Degradation(CONFIG)
    degradation.step(0.85, 0.1, 1.0, 0.0, EVEN)
    assert degradation.level > 0


def test_classes_without_traffic_are_stepped_over() -> None:
    shed = Degradation(CONFIG).step(0.9, 0.9, 1.0, 0.0, (0.0, 0.0, 8.0, 1.0))
    assert shed.high == pytest.approx(1 - 2 / 8, abs=0.001)
    assert [shed.low, shed.normal, shed.errors] == pytest.approx([0.01, 0.01, 1.0])


def test_without_traffic_there_is_nothing_to_shed() -> None:
    degradation = Degradation(CONFIG)
    assert degradation.step(1.0, 1.0, 1.0, 0.0, (0.0, 0.0, 0.0, 0.0)) == Shed()
    assert degradation.phase is Phase.CALM


def test_it_is_off_unless_it_is_enabled() -> None:
    assert after(5.0, 100, Degradation()) == Shed()
    degradation = shedding()
    degradation.config = DegradationConfig()
    assert degradation.step(0.9, 0.9, 1.0, 1.0, EVEN) == Shed()


def test_another_configuration_finds_it_where_it_was() -> None:
    degradation = shedding()
    level = degradation.level
    degradation.config = DegradationConfig(enabled=True, threshold=0.95, target_rate=0.5, recovery_threshold=0.5)
    shed = degradation.step(0.7, 0.7, 1.0, 1.0, EVEN)
    assert degradation.level == level
    assert shed.low == pytest.approx(1 - 4 * level * 0.5)


def test_all_that_is_gone_comes_back_from_a_hundredth() -> None:
    config = DegradationConfig(enabled=True, target_rate=0.0, min_hold_s=1.0)
    degradation = Degradation(config)
    degradation.level, degradation.phase = 1.0, Phase.SHEDDING
    degradation.step(0.0, 0.0, 1.0, 0.0, EVEN)
    assert left_at(EVEN, degradation.level, 0.0) == pytest.approx(0.04)


@given(
    kept=st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4),
    base=st.floats(0.0, 1.0),
    gain=st.floats(0.1, 30.0),
    floor=st.floats(0.0, 0.5),
    threshold=st.floats(0.3, 0.95),
    gap=st.floats(0.02, 0.5),
    saturates=st.booleans(),
    started_at=st.floats(0.0, 1.0),
)
@settings(max_examples=200, deadline=None)
def test_a_constant_load_settles(
    *,
    kept: list[float],
    base: float,
    gain: float,
    floor: float,
    threshold: float,
    gap: float,
    saturates: bool,
    started_at: float,
) -> None:
    """Utilization is a part that shedding does not touch and one in proportion to what is left; 1 where it saturates.

    It goes up, perhaps too far, and comes back, and then it never moves again.
    """
    assume(threshold > gap)
    degradation = Degradation(
        DegradationConfig(
            enabled=True, threshold=threshold, recovery_threshold=threshold - gap, target_rate=floor, min_hold_s=10.0
        )
    )
    degradation.level = started_at
    levels = [degradation.level]
    for step in range(400):
        left = left_at(kept, degradation.level, floor) / sum(kept)
        load = base * threshold + gain * left
        load = min(load, 1.0) if saturates else load
        degradation.step(load, load, 1.0, step * 10.0, kept)
        levels.append(degradation.level)
    moves = [b - a for a, b in pairwise(levels) if abs(b - a) > 1e-9]
    turns = sum((a > 0) != (b > 0) for a, b in pairwise(moves))
    assert turns <= 1
    assert levels[-1] == pytest.approx(levels[-50], abs=1e-6)
