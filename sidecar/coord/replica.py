"""A copy of a part of the store, and what changes in it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from sidecar.coord.store import Batch, KeyValue, Kind, Listing


class Change(msgspec.Struct, frozen=True):
    """What became different in one step. A key that was written and deleted within it does not occur."""

    put: tuple[KeyValue, ...] = ()
    deleted: tuple[KeyValue, ...] = ()
    """As they were before."""
    relisted: bool = False
    """The store was listed anew: what happened in between is not known, only the difference."""

    @property
    def keys(self) -> int:
        """How many keys it concerns."""
        return len(self.put) + len(self.deleted)


class Replica:
    """The keys under a prefix at one revision."""

    def __init__(self) -> None:
        self._entries: dict[str, KeyValue] = {}
        self._touched: set[str] = set()
        self.revision = 0

    @property
    def entries(self) -> Mapping[str, KeyValue]:
        """By key; changes as the replica does."""
        return MappingProxyType(self._entries)

    def apply(self, batch: Batch) -> Change:
        """Takes a batch as a unit. An event that is known already is passed over."""
        former: dict[str, KeyValue | None] = {}
        for event in batch.events:
            entry = event.entry
            known = self._entries.get(entry.key)
            if entry.modified <= max(self.revision, known.modified if known else 0):
                continue
            former.setdefault(entry.key, known)
            if event.kind is Kind.PUT:
                self._entries[entry.key] = entry
            else:
                self._entries.pop(entry.key, None)
        self._touched.update(former)
        self.revision = max(self.revision, batch.revision)
        put = [self._entries[key] for key in former if key in self._entries]
        deleted = [was for key, was in former.items() if was is not None and key not in self._entries]
        return Change(tuple(put), tuple(deleted))

    def replace(self, listing: Listing) -> Change:
        """Becomes the listing, whatever its revision; the difference."""
        change = self._difference(listing, frozenset())
        self.adopt(change)
        self.revision = listing.revision
        return change

    def begin_comparison(self) -> None:
        """From now on it is noted which keys the batches concern."""
        self._touched.clear()

    def compare(self, listing: Listing) -> Change:
        """What a listing has that was asked for after `begin_comparison`, and this does not: changes that got lost.

        Keys that a batch has concerned since are passed over, for they may be newer here.
        """
        return self._difference(listing, self._touched)

    def adopt(self, change: Change) -> None:
        """Takes the changes of a comparison."""
        for entry in change.put:
            self._entries[entry.key] = entry
        for entry in change.deleted:
            del self._entries[entry.key]

    def _difference(self, listing: Listing, passed_over: frozenset[str] | set[str]) -> Change:
        there = {entry.key: entry for entry in listing.entries if entry.key not in passed_over}
        put = [entry for key, entry in there.items() if self._entries.get(key) != entry]
        deleted = [was for key, was in self._entries.items() if key not in there and key not in passed_over]
        return Change(tuple(put), tuple(deleted), relisted=True)
