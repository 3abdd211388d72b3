"""Where a load is heading: a straight line through the last minute, how far to trust it, and how wrong it was.

The line is that of least squares. Its confidence is a probability: that the value at the horizon lies within a tenth
of the forecast, if the line goes on and the deviations from it stay as they were. For the prediction error is then

    sigma = s * sqrt(1 + 1/n + (x0 - mean x)^2 / Sxx),    s^2 = sum of squared residuals / (n - 2)

and (y - forecast) / sigma has Student's t distribution with n - 2 degrees of freedom (Montgomery, Peck, Vining:
Introduction to Linear Regression Analysis, "Prediction of new observations"; NIST/SEMATECH e-Handbook of Statistical
Methods, 4.5.2). It falls with noise and with the horizon. What the formula cannot know is whether the line does go on:
that is what `Scorer` measures, against the forecast that nothing changes. Where fewer forecasts come true than they
promised, it lowers the confidence of the next ones by as much.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

WINDOW_S = 60.0
LEAST_SAMPLES = 10
"""With fewer, the forecast is the value now."""
UNCERTAIN = 0.5
"""The confidence of that."""
TOLERANCE = 0.1
"""A forecast is right when it is off by no more than this share of itself, or of the mean where that is more."""
LEAST_SCORED = 30
"""With fewer forecasts whose time has come, nothing is said of the next ones."""
SCORED = 600
"""Forecasts that the score is made of: the last ones."""
LONGEST_GAP_S = 5.0
"""Between two measurements, for what lies between them to count as measured."""


class Sample(NamedTuple):
    """What was measured at a moment of a monotonic clock."""

    at_s: float
    value: float


class Forecast(NamedTuple):
    """What is expected."""

    value: float
    confidence: float
    """0 to 1."""


class Score(NamedTuple):
    """How far forecasts were off, on the load that came."""

    forecasts: int = 0
    """How many the errors are the mean of."""
    error: float = 0.0
    """Mean absolute error, in the unit of the load."""
    naive_error: float = 0.0
    """Of the forecast that the value stays as it is, for the same moments."""

    @property
    def skill(self) -> float:
        """The part of the naive error that the line takes away: 1 is perfect, below 0 it does worse than nothing."""
        return 1 - self.error / self.naive_error if self.naive_error else 0.0


def forecast(samples: Sequence[Sample], horizon_s: float, most: float = math.inf) -> Forecast:
    """What is expected `horizon_s` seconds after the last of `samples`, which are in the order of time.

    It lies between 0 and `most`, the bounds of what can be. Without samples it is 0.
    """
    if not samples:
        return Forecast(0.0, UNCERTAIN)
    now_s, current = samples[-1]
    recent = [Sample(at_s - now_s, value) for at_s, value in samples if now_s - at_s <= WINDOW_S]
    if len(recent) < LEAST_SAMPLES:
        return Forecast(_clamped(current, most), UNCERTAIN)
    n = len(recent)
    mean_x = math.fsum(x for x, _ in recent) / n
    mean_y = math.fsum(y for _, y in recent) / n
    sxx = math.fsum((x - mean_x) ** 2 for x, _ in recent)
    if not sxx:
        return Forecast(_clamped(current, most), UNCERTAIN)  # all of one moment: no line has a direction
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in recent) / sxx
    expected = mean_y + slope * (horizon_s - mean_x)
    residuals = math.fsum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in recent)
    sigma = math.sqrt(residuals / (n - 2) * (1 + 1 / n + (horizon_s - mean_x) ** 2 / sxx))
    value = _clamped(expected, most)
    off = TOLERANCE * max(value, mean_y)
    # What lies beyond the bounds cannot be: if it is foretold, the bound will be measured.
    above = 1.0 if value + off >= most else _student((value + off - expected), sigma, n - 2)
    below = 0.0 if value - off <= 0 else _student((value - off - expected), sigma, n - 2)
    return Forecast(value, min(max(above - below, 0.0), 1.0))


class _Outcome(NamedTuple):
    """A forecast whose time has come."""

    error: float
    naive_error: float
    confidence: float
    right: bool


class Scorer:
    """Holds forecasts until their time has come, and compares them with what is measured then."""

    def __init__(self, horizon_s: float) -> None:
        self._horizon_s = horizon_s
        self._pending: deque[tuple[float, Forecast, float]] = deque()
        self._outcomes: deque[_Outcome] = deque(maxlen=SCORED)
        self._last: Sample | None = None

    def add(self, measured: Sample, expected: Forecast) -> None:
        """Takes what was measured, and what the line says of `horizon_s` later."""
        if self._last is not None:
            self._compare(self._last, measured)
        self._last = measured
        self._pending.append((measured.at_s + self._horizon_s, expected, measured.value))

    def score(self) -> Score:
        """Over the last forecasts whose time has come."""
        n = len(self._outcomes)
        if not n:
            return Score()
        errors, naive = zip(*((one.error, one.naive_error) for one in self._outcomes), strict=True)
        return Score(n, math.fsum(errors) / n, math.fsum(naive) / n)

    def tempered(self, expected: Forecast) -> Forecast:
        """The forecast with the confidence that the former ones have earned: never more than its own."""
        if len(self._outcomes) < LEAST_SCORED:
            return expected
        right = sum(one.right for one in self._outcomes)
        promised = math.fsum(one.confidence for one in self._outcomes)
        return expected if right >= promised else expected._replace(confidence=expected.confidence * right / promised)

    def _compare(self, before: Sample, now: Sample) -> None:
        elapsed_s = now.at_s - before.at_s
        while self._pending and self._pending[0][0] <= now.at_s:
            due_s, expected, naive = self._pending.popleft()
            if not 0 < elapsed_s <= LONGEST_GAP_S:
                continue  # nobody knows how it was
            value = before.value + (now.value - before.value) * (due_s - before.at_s) / elapsed_s
            error = abs(value - expected.value)
            right = error <= TOLERANCE * max(expected.value, naive)
            self._outcomes.append(_Outcome(error, abs(value - naive), expected.confidence, right))


def _clamped(value: float, most: float) -> float:
    return min(max(value, 0.0), most)


def _student(deviation: float, sigma: float, degrees: int) -> float:
    """The probability that a value of Student's t distribution with that scale lies at or below `deviation`.

    Abramowitz, Stegun: Handbook of Mathematical Functions, 26.7.3 and 26.7.4, exact for whole degrees of freedom.
    """
    if not sigma or not math.isfinite(ratio := deviation / sigma):
        return float(deviation >= 0)
    theta = math.atan(ratio / math.sqrt(degrees))
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = degrees % 2
    term, series = (cosine if odd else 1.0), 0.0
    for k in range(1 + odd, degrees, 2):
        series += term
        term *= cosine * cosine * k / (k + 1)
    within = 2 / math.pi * (theta + sine * series) if odd else sine * series
    return (1 + within) / 2
