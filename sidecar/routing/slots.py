"""The slot table: who owns each of the 65,536 slots of the trace id's hash, and who comes next."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sidecar._native import rendezvous
from sidecar.ports import Member
from sidecar.routing.view import key_of

SLOTS = rendezvous.SLOTS
NONE = rendezvous.NONE
PRIMARY_BYTES = SLOTS * 2
AFTER_BYTES = SLOTS * 4


@dataclass(frozen=True, slots=True, eq=False)
class SlotTable:
    """Owner numbers by slot, best first; NONE where there are fewer than three. Also what it was made of."""

    primary: memoryview
    """uint16[65536], read-only."""
    after: memoryview
    """uint16[65536][2], read-only: the second and third owner."""
    keys: array[int]
    """uint64 by owner number."""
    weights: array[float]
    """By owner number, quantised."""

    def owners_of(self, slot: int) -> tuple[int, ...]:
        """The owners of a slot, first choice first."""
        three = (self.primary[slot], self.after[slot, 0], self.after[slot, 1])
        return tuple(owner for owner in three if owner != NONE)


def shaped(tables: memoryview) -> tuple[memoryview, memoryview]:
    """`primary` and `after`, as the two lie one after the other in memory."""
    flat = tables.cast("B")
    return flat[:PRIMARY_BYTES].cast("H"), flat[PRIMARY_BYTES:].cast("H", (SLOTS, 2))


def of_members(members: Iterable[Member], weights: Iterable[float]) -> tuple[array[int], array[float]]:
    """`keys` and `weights` of a table, by owner number."""
    return array("Q", map(key_of, members)), array("d", weights)


def fill(members: Sequence[Member], weights: Iterable[float], previous: SlotTable | None = None) -> SlotTable:
    """The table of these members. With a previous one it costs only what has changed, and comes out the same.

    It is the previous one where nothing has changed.
    """
    keys, exact = of_members(members, weights)
    if previous is not None and (previous.keys, previous.weights) == (keys, exact):
        return previous
    memory = bytearray(PRIMARY_BYTES + AFTER_BYTES)
    primary, after = shaped(memoryview(memory))
    if previous is None:
        rendezvous.fill(primary, after, keys, exact)
    else:
        rendezvous.refill(
            primary, after, keys, exact, previous.primary, previous.after, previous.keys, previous.weights
        )
    return SlotTable(*shaped(memoryview(memory).toreadonly()), keys, exact)
