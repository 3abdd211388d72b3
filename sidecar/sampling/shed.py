"""What a shedding gateway keeps of each class: low gives way first, then normal, then high, errors last."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.sampling.demand import Demand
from sidecar.sampling.plan import Observed, SamplingPlan, Shed

ORDER = ("low", "normal", "high", "errors")
"""In the order in which they give way. Wherever there is something by class, this is the order."""
_ALL = 1 - 1e-9
"""From here on it is 1: a rounding error is not to be written into the tracestate of every span."""


def kept_by_class(plan: SamplingPlan, observed: Observed) -> tuple[float, ...]:
    """Spans per second that the rates of a plan keep, before anything is shed."""
    kept = dict.fromkeys(ORDER, 0.0)
    for name, load in observed.items():
        service = plan.of_service(name)
        own = Demand.of(load.received, load.arrived).kept(service.rate)
        failed = own * min(load.errors / load.received, 1.0) if load.received > 0 else 0.0
        kept[service.priority] += own - failed
        kept["errors"] += failed
    return tuple(kept.values())


def at_level(level: float, floor: float) -> Shed:
    """By level each class in turn goes from 1 to `floor`: low by 1/4, ..., errors by 1."""
    return _shed(_left(level, floor))


def level_for(kept: Sequence[float], most: float, floor: float) -> float:
    """The lowest level at which no more than `most` is left of what is kept by class; 1 if there is none."""
    excess = sum(kept) - most
    if excess <= 0:
        return 0.0
    for i, own in enumerate(kept):
        can_go = own * (1.0 - floor)
        if excess <= can_go:
            return (i + excess / can_go) / len(kept)
        excess -= can_go
    return 1.0


def left_at(kept: Sequence[float], level: float, floor: float) -> float:
    """What is left of it at a level."""
    return sum(own * share for own, share in zip(kept, _left(level, floor), strict=True))


def within(kept: Sequence[float], most: float, floor: float) -> Shed:
    """The least shedding at which no more than `most` is left. Where the floor is not enough all go below it alike."""
    level = level_for(kept, most, floor)
    left = left_at(kept, level, floor)
    alike = most / left if level == 1 and left > most else 1.0
    return _shed([share * alike for share in _left(level, floor)])


def left_below_all(shed: Shed) -> dict[str, float]:
    """The classes that give something, and what is left of each."""
    return {name: left for name in ORDER if (left := getattr(shed, name)) < 1}


def both(one: Shed, other: Shed) -> Shed:
    """One on top of the other."""
    return _shed([getattr(one, name) * getattr(other, name) for name in ORDER])


def _left(level: float, floor: float) -> list[float]:
    left = [1.0 - min(max(level * len(ORDER) - i, 0.0), 1.0) * (1.0 - floor) for i in range(len(ORDER))]
    return [share if share < _ALL else 1.0 for share in left]


def _shed(left: Sequence[float]) -> Shed:
    return Shed(**dict(zip(ORDER, left, strict=True)))
