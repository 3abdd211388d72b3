"""Who has announced himself under a prefix, as records."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from sidecar.clock import Clock
from sidecar.control.records import read
from sidecar.coord.store import KeyValue
from sidecar.coord.survivors import Source, Survivors

R = TypeVar("R", bound=msgspec.Struct)


class Roster(Generic[R]):
    """The records of a mirror, of those included who vanished in a storm.

    Each is read once, and again when it changes: a leader looks at thousands of them many times a second.
    """

    def __init__(self, kind: type[R], mirror: Source, *, clock: Clock) -> None:
        self._kind = kind
        self._survivors = Survivors(mirror, clock=clock)
        self._read: dict[str, tuple[KeyValue, R | None]] = {}

    def records(self) -> list[R]:
        """All that read."""
        known, self._read = self._read, {}
        for key, entry in self._survivors.members.items():
            former = known.get(key)
            self._read[key] = former if former and former[0] is entry else (entry, read(self._kind, entry))
        return [record for _, record in self._read.values() if record is not None]

    def close(self) -> None:
        """Follows the mirror no longer."""
        self._survivors.close()
