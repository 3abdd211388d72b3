"""Which ids have been seen, and where: exact for a minute at least, in bounded memory."""

from __future__ import annotations

WINDOW_S = 60.0
"""A copy that comes later than this after the last one counts as new. A gateway gives up after seconds."""


class Sightings:
    """Ids by where they were first seen. Two generations: the older one is forgotten when the younger is full-grown."""

    def __init__(self, now_s: float) -> None:
        self._young: dict[bytes, int] = {}
        self._old: dict[bytes, int] = {}
        self._since_s = now_s

    def first(self, key: bytes, where: int) -> int | None:
        """Where `key` was seen before; None the first time."""
        seen = self._young.get(key)
        if seen is None:
            seen = self._old.get(key)
            self._young[key] = where if seen is None else seen
        return seen

    def mark(self, key: bytes, where: int) -> None:
        """From now on, `key` was seen at `where`."""
        self._young[key] = where

    def age(self, now_s: float) -> None:
        """Forget what is old; called now and then."""
        if now_s - self._since_s >= WINDOW_S:
            self._old, self._young, self._since_s = self._young, {}, now_s
