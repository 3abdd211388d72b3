"""`cost_based`: spreads what is left of an hour's budget over what is left of the hour."""

from __future__ import annotations

from math import inf
from typing import Self

import msgspec

from sidecar.config.fleet import StrategyConfig

HOUR_S = 3600.0
_SHORTEST_S = 10.0
"""What is left in the last moments is not spent at once: what gateways report is some seconds old."""


class Spending(msgspec.Struct, frozen=True):
    """What an hour of the wall clock has cost so far."""

    hour: int = 0
    """Hours since 1970."""
    spent: float = 0.0
    until_unix_s: float = 0.0
    """What was kept after that is not in it yet."""

    def went_on(self, strategy: StrategyConfig | None, kept: float, now_unix_s: float, elapsed_s: float) -> Self:
        """With the spans per second that were kept since.

        The wall clock counts, since it is what the hour is made of, and goes on while nobody leads. A clock that goes
        back makes nothing undone.
        """
        hour = int(now_unix_s // HOUR_S)
        lapse_s = now_unix_s - self.until_unix_s if 0 < self.until_unix_s <= now_unix_s else elapsed_s
        before = 0.0 if hour > self.hour else self.spent
        per_span = strategy.per_span or 0.0 if strategy else 0.0
        spent = before + per_span * kept * min(lapse_s, now_unix_s % HOUR_S)
        return type(self)(hour, spent, now_unix_s)

    def affordable(self, strategy: StrategyConfig, now_unix_s: float) -> float:
        """Spans per second that may be kept from now on; infinite where they cost nothing."""
        if not strategy.per_span or strategy.budget_per_hour is None:
            return inf
        left_s = max(HOUR_S - now_unix_s % HOUR_S, _SHORTEST_S)
        return max(strategy.budget_per_hour - self.spent, 0.0) / strategy.per_span / left_s


def even_pace(strategy: StrategyConfig) -> float:
    """Spans per second that would spend the budget evenly; infinite where they cost nothing."""
    if not strategy.per_span or strategy.budget_per_hour is None:
        return inf
    return strategy.budget_per_hour / strategy.per_span / HOUR_S
