"""How much is kept at a rate, when some of it was sampled before it came.

Rates are equalizing: a span that was kept upstream with probability q is kept here with min(1, rate / q) (consistent
probability sampling: its randomness is known to lie above 1 - q). So what is kept is a concave, piecewise linear
function of the rate, with a corner at each q.
https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

_CLOSE = 1e-9
_HALVINGS = 200


@dataclass(frozen=True, slots=True)
class Demand:
    """Spans per second that arrive: `whole` had not been sampled, `sampled` had been, by the probability q < 1."""

    whole: float = 0.0
    sampled: Mapping[float, float] = field(default_factory=dict)

    @classmethod
    def of(cls, received: float, arrived: Mapping[int, float], bias: float = 1.0) -> Self:
        """As it is reported, by k: q is about 2^-k. bias: 2^-k in relation to the true q."""
        sampled: dict[float, float] = {}
        for k, rate in arrived.items():
            if (q := 2.0**-k / bias) < 1 and rate > 0:
                sampled[q] = sampled.get(q, 0.0) + rate
        return cls(max(received - sum(sampled.values()), 0.0), sampled)

    @classmethod
    def total(cls, parts: Iterable[Demand]) -> Self:
        """All of them as one."""
        whole, sampled = 0.0, dict[float, float]()
        for part in parts:
            whole += part.whole
            for q, rate in part.sampled.items():
                sampled[q] = sampled.get(q, 0.0) + rate
        return cls(whole, sampled)

    def at(self, rate: float) -> Demand:
        """What is kept at a rate, as it would be lowered by a factor: `at(rate).kept(f)` is `kept(rate * f)`."""
        whole, sampled = self.whole * rate, dict[float, float]()
        for q, n in self.sampled.items():
            if rate > q:
                sampled[q / rate] = n
            else:
                whole += n * rate / q
        return Demand(whole, sampled)

    @property
    def received(self) -> float:
        """All that arrives."""
        return self.whole + sum(self.sampled.values())

    def kept(self, rate: float) -> float:
        """Spans per second that are kept at a rate."""
        return self.whole * rate + sum(n * min(1.0, rate / q) for q, n in self.sampled.items())

    def rate_for(self, most: float) -> float:
        """The highest rate at which no more than `most` is kept."""
        if self.received <= most:
            return 1.0
        slope = self.whole + sum(n / q for q, n in self.sampled.items())
        corner, kept = 0.0, 0.0
        for q in sorted(self.sampled):
            there = kept + slope * (q - corner)
            if there > most:
                break
            corner, kept = q, there
            slope -= self.sampled[q] / q
        return min(corner + max(most - kept, 0.0) / slope, 1.0) if slope > 0 else corner


def highest(total: Callable[[float], float], most: float, top: float) -> float:
    """The highest level from 0 to `top` at which `total` is at most `most`; 0 if it never is. `total` may not fall."""
    if total(top) <= most:
        return top
    if total(0.0) > most:
        return 0.0
    low, high = 0.0, top
    for _ in range(_HALVINGS):
        if high - low <= _CLOSE * high:
            break
        middle = (low + high) / 2
        if total(middle) <= most:
            low = middle
        else:
            high = middle
    return low
