"""Spans per second by service, from counters: what the controllers of sampling work on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add, sub

from sidecar._native.ledger import ARRIVED
from sidecar.sampling.plan import OTHER, Observed, ServiceLoad

SERVICES_MAX = 256
"""Services that are told one by one; the smaller ones are summed up under `_other`."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What sampling has seen of the spans of a service, since the start or between two readings."""

    received: int = 0
    kept: int = 0
    errors: int = 0
    """Of those received."""
    kept_bytes: int = 0
    arrived: tuple[int, ...] = (0,) * ARRIVED
    """Of those received, the ones that came with a th: one in 2, in 4, ... of what there was before."""

    def __add__(self, other: Counts) -> Counts:
        return self._with(other, add)

    def __sub__(self, other: Counts) -> Counts:
        return self._with(other, sub)

    def _with(self, other: Counts, act: Callable[[int, int], int]) -> Counts:
        return Counts(
            act(self.received, other.received),
            act(self.kept, other.kept),
            act(self.errors, other.errors),
            act(self.kept_bytes, other.kept_bytes),
            tuple(map(act, self.arrived, other.arrived)),
        )


class ServiceRates:
    """Turns two readings into rates."""

    def __init__(self, most: int = SERVICES_MAX) -> None:
        self._most = most
        self._at_s = 0.0
        self._last: Mapping[str, Counts] | None = None
        self._observed: Observed = {}

    def add(self, at_s: float, counts: Mapping[str, Counts]) -> None:
        """Takes a reading. A service whose counters went back (its page was made anew) begins at 0."""
        elapsed_s = at_s - self._at_s
        if self._last is not None and elapsed_s > 0:
            last = self._last
            since = {name: _since(now, last.get(name, Counts())) for name, now in counts.items()}
            self._observed = {name: _rates(one, elapsed_s) for name, one in summed_up(since, self._most).items()}
        self._at_s, self._last = at_s, counts

    def observed(self) -> Observed:
        """Between the last two readings: services that had spans."""
        return self._observed


def summed_up(counts: Mapping[str, Counts], most: int) -> dict[str, Counts]:
    """Those of the `most` services that have received the most, and the sum of all others; none without spans."""
    busy = {name: one for name, one in counts.items() if one.received}
    named = sorted(busy.keys() - {OTHER}, key=lambda name: (-busy[name].received, name))
    sums = {name: busy[name] for name in named[:most]}
    if rest := [busy[name] for name in busy if name not in sums]:
        sums[OTHER] = reduce(add, rest)
    return sums


def _since(now: Counts, last: Counts) -> Counts:
    return now if now.received < last.received else now - last


def _rates(counts: Counts, elapsed_s: float) -> ServiceLoad:
    return ServiceLoad(
        received=counts.received / elapsed_s,
        errors=counts.errors / elapsed_s,
        kept=counts.kept / elapsed_s,
        arrived={k: n / elapsed_s for k, n in enumerate(counts.arrived, 1) if n},
        kept_bytes=counts.kept_bytes / elapsed_s,
    )
