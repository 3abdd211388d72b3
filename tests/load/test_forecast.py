from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.load.forecast import (
    LEAST_SAMPLES,
    UNCERTAIN,
    WINDOW_S,
    Forecast,
    Sample,
    Score,
    Scorer,
    _student,
    forecast,
)


def seconds(n: int, load: Callable[[float], float]) -> list[Sample]:
    """A sample a second, up to second n - 1."""
    return [Sample(float(at_s), load(float(at_s))) for at_s in range(n)]


values = st.floats(0, 1e9)
loads = st.lists(st.tuples(st.floats(0.5, 3.0), values), min_size=1, max_size=90)


def series(steps: list[tuple[float, float]]) -> list[Sample]:
    """Samples at uneven times."""
    at_s, made = 5000.0, []
    for step_s, value in steps:
        at_s += step_s
        made.append(Sample(at_s, value))
    return made


# ---- the line


def test_nothing_is_known() -> None:
    assert forecast([], 30) == Forecast(0.0, UNCERTAIN)


@pytest.mark.parametrize("n", range(1, LEAST_SAMPLES))
def test_with_few_samples_it_stays_as_it_is(n: int) -> None:
    assert forecast(seconds(n, lambda at_s: 0.1 * at_s), 30) == pytest.approx((0.1 * (n - 1), 0.5))


def test_a_line_goes_on() -> None:
    value, confidence = forecast(seconds(60, lambda at_s: 100 + 5 * at_s), 30)
    assert (value, confidence) == pytest.approx((100 + 5 * (59 + 30), 1))


def test_only_the_last_minute_counts() -> None:
    load = seconds(600, lambda at_s: 1000 - at_s if at_s < 540 else at_s)
    assert forecast(load, 10).value == pytest.approx(609, rel=0.05)
    late = [Sample(0, 1), *(Sample(1000 + i, 2) for i in range(5))]
    assert forecast(late, 10) == Forecast(2, UNCERTAIN), "ten, but not of this minute"


def test_by_hand() -> None:
    """y = 1 2 1 2 ... at x = 0 to 9: slope 2.5 / 82.5, and the interval of the text books."""
    ys = [1.0, 2.0] * 5
    value, confidence = forecast([Sample(i, y) for i, y in enumerate(ys)], 5)
    slope = 2.5 / 82.5
    assert value == pytest.approx(1.5 + slope * (14 - 4.5))
    residuals = sum((y - 1.5 - slope * (i - 4.5)) ** 2 for i, y in enumerate(ys))
    sigma = math.sqrt(residuals / 8 * (1 + 1 / 10 + (14 - 4.5) ** 2 / 82.5))
    assert confidence == pytest.approx(2 * _student(0.1 * value, sigma, 8) - 1)


def test_it_is_never_below_nothing_nor_above_the_most() -> None:
    assert forecast(seconds(60, lambda at_s: 59 - at_s), 30).value == 0
    assert forecast(seconds(60, lambda at_s: at_s / 59), 30, most=1.0) == pytest.approx((1, 1))


@settings(max_examples=200)
@given(loads, st.floats(0, 600), st.floats(1, 1e9))
def test_it_is_within_bounds_whatever_comes(steps: list[tuple[float, float]], horizon_s: float, most: float) -> None:
    value, confidence = forecast(series(steps), horizon_s, most)
    assert 0 <= value <= most
    assert 0 <= confidence <= 1


@settings(max_examples=200)
@given(
    st.lists(st.floats(0.5, 3.0), min_size=LEAST_SAMPLES, max_size=20),
    st.floats(0.01, 100),
    st.floats(0, 100),
    st.floats(0, 60),
)
def test_a_rising_line_is_found_at_uneven_times(
    steps_s: list[float], slope: float, base: float, horizon_s: float
) -> None:
    at = series([(step_s, 0.0) for step_s in steps_s])
    begin_s, end_s = at[0].at_s, at[-1].at_s
    line = [Sample(at_s, base + slope * (at_s - begin_s)) for at_s, _ in at]
    value, confidence = forecast(line, horizon_s)
    assert value == pytest.approx(base + slope * (end_s + horizon_s - begin_s), rel=1e-6)
    assert confidence == pytest.approx(1)


@settings(max_examples=200)
@given(loads, st.floats(0.01, 1000))
def test_the_unit_does_not_matter(steps: list[tuple[float, float]], unit: float) -> None:
    one = forecast(series(steps), 30)
    other = forecast(series([(step_s, value * unit) for step_s, value in steps]), 30)
    assert other.value == pytest.approx(one.value * unit, rel=1e-6, abs=1e-6)


# ---- confidence


def wave(depth: float) -> Callable[[float], float]:
    return lambda at_s: 100 + depth * math.sin(at_s * 1.7)


def test_confidence_falls_with_noise() -> None:
    found = [forecast(seconds(60, wave(depth)), 30).confidence for depth in (0, 2, 5, 10, 30, 90)]
    assert found == sorted(found, reverse=True)
    assert found[0] == 1
    assert found[1] > 0.95
    assert found[-1] < 0.2


def test_confidence_falls_with_the_horizon() -> None:
    found = [forecast(seconds(60, wave(10)), horizon_s).confidence for horizon_s in (0, 10, 30, 60, 300)]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1] + 0.2


def test_confidence_is_the_share_of_forecasts_that_come_true() -> None:
    """Where the model holds, that is what the number means."""
    dice = random.Random(4)
    confidences, true = [], 0
    for _ in range(2000):
        load = seconds(41, lambda at_s: 50 + 0.5 * at_s + dice.gauss(0, 6))
        found = forecast(load[:31], 10)
        confidences.append(found.confidence)
        true += abs(load[40].value - found.value) <= 0.1 * found.value
    assert true / 2000 == pytest.approx(sum(confidences) / 2000, abs=0.03)


@pytest.mark.parametrize(
    ("degrees", "t", "probability"),
    [
        (1, 1.0, 0.75),
        (2, 2.920, 0.95),
        (8, 1.860, 0.95),
        (8, 2.306, 0.975),
        (9, 2.262, 0.975),
        (30, 2.750, 0.995),
        (58, 2.0017, 0.975),
    ],
)
def test_students_t_as_tables_have_it(degrees: int, t: float, probability: float) -> None:
    assert _student(t * 3, 3, degrees) == pytest.approx(probability, abs=1e-4)
    assert _student(-t * 3, 3, degrees) == pytest.approx(1 - probability, abs=1e-4)


# ---- the score


def scored(load: Callable[[float], float], n: int, horizon_s: float = 30) -> Score:
    scorer, so_far = Scorer(horizon_s), []
    for sample in seconds(n, load):
        so_far.append(sample)
        scorer.add(sample, forecast(so_far, horizon_s))
    return scorer.score()


def test_nothing_is_scored_before_its_time_has_come() -> None:
    assert scored(lambda at_s: at_s, 30) == Score(0, 0, 0)
    assert scored(lambda at_s: at_s, 31).forecasts == 1


def test_on_a_line_the_line_is_right_and_the_naive_is_off_by_the_horizon() -> None:
    score = scored(lambda at_s: 10 + at_s, 200)
    assert score.forecasts == 170
    assert score.naive_error == pytest.approx(30)
    assert score.error == pytest.approx(30 * (LEAST_SAMPLES - 1) / 170), "but for the first ones"
    assert score.skill == pytest.approx(1 - 9 / 170)


def test_where_nothing_changes_nobody_is_off() -> None:
    score = scored(lambda _: 5, 100)
    assert (score.error, score.naive_error, score.skill) == pytest.approx((0, 0, 0))


def test_on_noise_alone_the_line_can_be_worse_and_that_is_told() -> None:
    dice = random.Random(8)
    assert scored(lambda _: dice.uniform(0, 1), 600).forecasts == 570
    score = scored(lambda at_s: 1 + (at_s // 45) % 2, 600)
    assert score.skill < 0


def tempered(load: Callable[[float], float], n: int, horizon_s: float = 30) -> tuple[float, float]:
    """The mean confidence of the later half of the forecasts, as computed and as lowered."""
    scorer, so_far = Scorer(horizon_s), []
    raw, lowered = [], []
    for sample in seconds(n, load):
        so_far.append(sample)
        found = forecast(so_far, horizon_s)
        scorer.add(sample, found)
        raw.append(found.confidence)
        lowered.append(scorer.tempered(found).confidence)
    assert all(low <= high for low, high in zip(lowered, raw, strict=True))
    return sum(raw[n // 2 :]) / (n - n // 2), sum(lowered[n // 2 :]) / (n - n // 2)


def test_who_keeps_promises_keeps_confidence() -> None:
    raw, lowered = tempered(lambda at_s: 10 + at_s, 400)
    assert lowered == pytest.approx(raw, abs=0.02)


def test_who_promises_too_much_is_believed_less() -> None:
    """A walk without direction: each line fits the last minute well, and leads astray."""
    dice = random.Random(4)
    at = [100.0]
    for _ in range(1000):
        at.append(max(at[-1] + dice.gauss(0, 2), 20))
    raw, lowered = tempered(lambda at_s: at[int(at_s)], 1000)
    assert raw > 0.8
    assert lowered < 0.7 * raw


def test_what_lies_in_a_gap_is_not_scored() -> None:
    scorer = Scorer(10)
    for at_s in (0, 1, 2, 100, 101, 110.5):
        scorer.add(Sample(at_s, 1), Forecast(3, 1))
    assert scorer.score() == Score(0, 0, 0), "nobody measured at 10, 11, 12, nor at 110"
    scorer.add(Sample(111, 2), Forecast(3, 1))
    score = scorer.score()
    assert (score.forecasts, score.error, score.naive_error) == (1, 1, 1)


def test_between_two_measurements_the_value_lies_between_them() -> None:
    scorer = Scorer(1)
    for at_s, value in ((0, 5), (0.5, 0), (1.5, 10)):
        scorer.add(Sample(at_s, value), Forecast(4, 1))
    score = scorer.score()
    assert (score.forecasts, score.error, score.naive_error) == pytest.approx((2, 3.5, 5))


def test_the_window_is_the_missions() -> None:
    assert WINDOW_S == 60
