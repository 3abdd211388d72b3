"""Slot tables and what they should be: weighted rendezvous again, slowly, from the formula and in floating point."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence

from sidecar._native import route
from sidecar._native.rendezvous import NONE, SLOTS, fill, identity_key, refill

MASK = (1 << 64) - 1


class Table:
    """The table of some members, filled natively."""

    def __init__(self, names: Sequence[str], weights: Iterable[float] | None = None, old: Table | None = None) -> None:
        self.names = tuple(names)
        self.keys = array("Q", (identity_key(name.encode()) for name in names))
        self.weights = array("d", weights if weights is not None else [1.0] * len(names))
        self.primary = memoryview(bytearray(SLOTS * 2)).cast("H")
        self.after = memoryview(bytearray(SLOTS * 4)).cast("B").cast("H", (SLOTS, 2))
        if old is None:
            fill(self.primary, self.after, self.keys, self.weights)
        else:
            refill(self.primary, self.after, self.keys, self.weights, old.primary, old.after, old.keys, old.weights)

    def native(self) -> route.Table:
        return route.Table(route.OWNING, len(self.names), primary=self.primary, after=self.after)

    def routing(self) -> route.Routing:
        """By this table alone."""
        return route.Routing([self.native()])

    def image(self) -> bytes:
        return self.primary.tobytes() + self.after.tobytes()

    def rows(self, slots: Iterable[int] = range(SLOTS)) -> list[tuple[int, int, int]]:
        return [(self.primary[slot], self.after[slot, 0], self.after[slot, 1]) for slot in slots]

    def named_rows(self) -> list[tuple[str, ...]]:
        names = (*self.names, *[""] * (NONE + 1 - len(self.names)))
        return [(names[a], names[b], names[c]) for a, b, c in self.rows()]

    def shares(self) -> list[int]:
        """Slots by owner number."""
        counted = Counter(self.primary)
        return [counted[owner] for owner in range(len(self.names))]

    def oracle(self, slots: Iterable[int]) -> list[tuple[int, int, int]]:
        rows = []
        for slot in slots:
            salt = mix64(slot + 0x9E3779B97F4A7C15)
            scores = [(-score(mix64(key ^ salt) | 1, self.weights[i]), i) for i, key in enumerate(self.keys)]
            best = [i for _, i in sorted(scores) if self.weights[i] > 0][:3]
            a, b, c = best + [NONE] * (3 - len(best))
            rows.append((a, b, c))
        return rows


def mix64(x: int) -> int:
    x &= MASK
    for _ in range(2):
        x = (x ^ x >> 32) * 0xD6E8FEB86659FD93 & MASK
    return x ^ x >> 32


def hash_bytes(data: bytes) -> int:
    """The hash of identities, and of items without a trace id."""
    h = 0x9E3779B97F4A7C15 ^ len(data)
    for at in range(0, len(data), 8):
        h = mix64(h ^ int.from_bytes(data[at : at + 8], "little"))
    return mix64(h)


def hash_trace(trace_id: bytes) -> int:
    """The hash of a 16-byte trace id."""
    return mix64(int.from_bytes(trace_id[8:], "little") ^ mix64(int.from_bytes(trace_id[:8], "little")))


def score(hashed: int, weight: float) -> float:
    """-w / ln(u) with u = hashed / 2^64, exact near 1 where winners are."""
    return -weight / math.log1p(-((1 << 64) - hashed) / 2**64) if hashed >> 63 else -weight / math.log(hashed / 2**64)


def members(n: int, first: int = 0) -> list[str]:
    return [f"collector-{i}.example:4317" for i in range(first, first + n)]
