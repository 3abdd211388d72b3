"""What the controllers work on: everybody who has a rate of their own, and what they send."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from sidecar.model import Priority
from sidecar.sampling.demand import Demand
from sidecar.sampling.plan import Cause, ServiceRate

CLASSES = (Priority.LOW, Priority.NORMAL, Priority.HIGH)
"""In the order in which they give way."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A service, or all services that fit a pattern and are not seen by name."""

    priority: Priority
    base: float
    """Its rate without regard to load."""
    rate: float
    pinned: bool = False
    """A rule names its rate: only limits and budgets lower it."""
    demand: Demand = field(default_factory=Demand)
    most: float = 1.0
    """The rate that a limit on this service alone allows."""
    cause: Cause = Cause.RATE
    moved: bool = False
    """Its rate depends on load, so the leader has to tell it."""

    @property
    def kept(self) -> float:
        """Spans per second, at its rate."""
        return self.demand.kept(self.rate)

    def at(self, rate: float) -> Entry:
        """With a rate that a strategy wants, as far as the service's own limit allows."""
        limited = rate > self.most
        return replace(self, rate=min(rate, self.most), cause=Cause.LIMIT if limited else Cause.RATE, moved=True)

    def cut(self, factor: float, cause: Cause) -> Entry:
        """With a rate that is lower than the one it has."""
        return replace(self, rate=self.rate * factor, cause=cause, moved=True)

    def told(self) -> ServiceRate:
        """What a plan says of it."""
        return ServiceRate(rate=self.rate, priority=self.priority, cause=self.cause)


Entries = dict[str, Entry]
"""By name or pattern."""


def kept(entries: Iterable[Entry]) -> float:
    """Spans per second that all keep together."""
    return sum(entry.kept for entry in entries)
