"""What each strategy asks of the data plane: one of three ways to choose, and the table that goes with it.

Strategies are compilers. They differ in what they make of a view, never in what the kernels do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from sidecar._native import route
from sidecar.model import Ownership, RoutingStrategy
from sidecar.routing.slots import SlotTable, fill
from sidecar.routing.smooth import smooth_sequence
from sidecar.routing.view import View

NO_SEQUENCE = memoryview(b"").cast("H")


class Mode(IntEnum):
    """How the data plane chooses."""

    OWNING = route.OWNING
    """Every item goes to the owner of its slot."""
    SEQUENCE = route.SEQUENCE
    """Every request goes whole to the next backend of a sequence."""
    LEAST = route.LEAST
    """Every request goes whole to the backend with the smallest queue."""


def mode_of(strategy: RoutingStrategy, ownership: Ownership) -> Mode:
    """The way of a strategy. ValueError if it cannot promise that ownership."""
    if ownership not in strategy.ownerships:
        raise ValueError(f"{strategy} cannot have ownership {ownership}")
    if ownership is Ownership.TRACE:
        return Mode.OWNING
    return Mode.LEAST if strategy is RoutingStrategy.LEAST_CONNECTIONS else Mode.SEQUENCE


@dataclass(frozen=True, slots=True, eq=False)
class Routes:
    """A mode and its table."""

    mode: Mode
    slots: SlotTable | None
    """For OWNING."""
    sequence: memoryview
    """For SEQUENCE; the candidates for LEAST. uint16 owner numbers, read-only."""
    table: route.Table
    """What the data plane reads of either: checked once, used by one policy after the other."""


def routes(strategy: RoutingStrategy, ownership: Ownership, view: View, previous: Routes | None = None) -> Routes:
    """What the data plane is to read. It does not depend on `previous`, which saves work, or is the answer itself.

    Configured weights count for `consistent_hash` and `weighted_round_robin`, those that `intelligent` has put into
    the view count there. `round_robin` and `least_connections` know only taking part (any weight) or not (0).
    """
    mode = mode_of(strategy, ownership)
    if mode is Mode.OWNING:
        former = previous.slots if previous else None
        slots = fill(view.members, view.weights, former)
        return previous if previous and slots is former else owning(slots)
    weights = view.weights
    if strategy in {RoutingStrategy.ROUND_ROBIN, RoutingStrategy.LEAST_CONNECTIONS}:
        weights = tuple(float(weight > 0) for weight in weights)
    return spreading(mode, len(weights), memoryview(smooth_sequence(weights)).toreadonly())


def owning(slots: SlotTable) -> Routes:
    """By the owners of slots."""
    table = route.Table(Mode.OWNING, len(slots.keys), primary=slots.primary, after=slots.after)
    return Routes(Mode.OWNING, slots, NO_SEQUENCE, table)


def spreading(mode: Mode, owners: int, sequence: memoryview) -> Routes:
    """In turn, or by queues. ValueError if the sequence names somebody who is not there."""
    return Routes(mode, None, sequence, route.Table(mode, owners, sequence=sequence))
