"""A moving average of measurements that come at any times."""

from __future__ import annotations

import math


class Ewma:
    """The exponentially weighted average: after `tau_s` seconds a measurement has lost 1 - 1/e of its weight.

    A measurement speaks for the time since the one before it, so a missed tick makes the next one count for two.
    Source: A. Eckner, Algorithms for Unevenly Spaced Time Series: Moving Averages and Other Rolling Operators (2012),
    EMA_next.
    """

    def __init__(self, tau_s: float) -> None:
        self._tau_s = tau_s
        self._begun = False
        self.value = 0.0
        """The average; 0 before the first measurement."""

    def add(self, value: float, over_s: float) -> None:
        """Takes a measurement that holds for the last `over_s` seconds. The first one is the average."""
        weight = -math.expm1(-over_s / self._tau_s) if self._begun else 1.0
        self.value += weight * (value - self.value)
        self._begun = True
