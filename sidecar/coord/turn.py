"""A place in the line before a lock or the leadership: who came first has it, the next one waits for him alone.

    take ----> waiting ---- nobody ahead ----> first ---- key deleted ----> over
                |    ^                           |
                +----+ the one ahead has gone    +-- its Fence guards every write

The shape is that of etcd's clientv3/concurrency: a key of one's own under a lease, in the order of creation, and a
watch of the predecessor only, so that a release wakes one and not all. Unlike its Election, and like its Mutex, whoever
has waited looks up his own key again: only where it was created as remembered is he the first (Jepsen, etcd 3.4.3).
"""

from __future__ import annotations

import asyncio

from sidecar.coord.backoff import Backoff
from sidecar.coord.store import (
    ABSENT,
    Compacted,
    Fence,
    KeyValue,
    Kind,
    Lease,
    LeaseGone,
    Listing,
    Store,
    StoreError,
    StoreUnavailable,
    WentBack,
)

PASSING = (StoreUnavailable, Compacted, WentBack)
"""What a look at the store mends, now or later."""


class PlaceLost(StoreError):
    """The key in the line is no longer the one that was put: the lease expired, or somebody deleted it."""


class Turn:
    """The place of `key` in the line under `folder`. `value` says who that is."""

    def __init__(self, store: Store, lease: Lease, folder: str, key: str, *, value: bytes, backoff: Backoff) -> None:
        self.key = key
        self.fence: Fence | None = None
        """Once it is the first."""
        self.first: KeyValue | None = None
        """Whoever was the first when the line was last looked at."""
        self.unanswered = False
        """Whether a put of the key was given up: it may be done yet."""
        self._store = store
        self._lease = lease
        self._folder = folder
        self._value = value
        self._backoff = backoff

    async def wait(self) -> None:
        """Lines up, and returns as the first. LeaseGone, PlaceLost: has to line up anew."""
        mine = await self._take()
        while self.fence is None:
            try:
                listing = await self._store.list(self._folder)
                ahead = self._ahead(listing, mine)
                if ahead is None:
                    self.fence = Fence(self.key, mine.created)
                else:
                    await self._deleted(ahead, listing.revision)
            except PASSING:
                await asyncio.sleep(self._backoff.next_s())
            else:
                self._backoff.reset()

    async def over(self) -> None:
        """Returns when the place, once first, is no longer held."""
        while self.fence is not None:
            try:
                listing = await self._store.list(self.key)
                mine = next((entry for entry in listing.entries if entry.key == self.key), None)
                if mine is None or mine.created != self.fence.token:
                    return
                await self._deleted(mine, listing.revision)
            except PASSING:
                await asyncio.sleep(self._backoff.next_s())
            else:
                self._backoff.reset()

    async def _take(self) -> KeyValue:
        while True:
            given_up, self.unanswered = self.unanswered, True
            try:
                mine = await self._store.compare_and_set(self.key, self._value, ABSENT, lease=self._lease)
                self.unanswered = given_up
                # It may be there from an attempt whose answer got lost, or from before a time of silence.
                mine = mine or await self._store.get(self.key)
            except LeaseGone:
                self.unanswered = False  # no put under it counts any more
                raise
            except PASSING:
                await asyncio.sleep(self._backoff.next_s())
                continue
            if mine is None or mine.lease != self._lease.id:
                raise PlaceLost(f"{self.key} does not stay in the line")
            return mine

    def _ahead(self, listing: Listing, mine: KeyValue) -> KeyValue | None:
        line = sorted(listing.entries, key=lambda entry: entry.created)
        self.first = line[0] if line else None
        now = next((entry for entry in line if entry.key == self.key), None)
        if now is None or now.created != mine.created:
            raise PlaceLost(f"{self.key} has lost its place in the line")
        return max((entry for entry in line if entry.created < mine.created), key=lambda e: e.created, default=None)

    async def _deleted(self, entry: KeyValue, after: int) -> None:
        async with self._store.watch(entry.key, after) as batches:
            async for batch in batches:
                for event in batch.events:
                    if event.entry.key == entry.key and event.kind is Kind.DELETE:
                        return
        raise StoreUnavailable("the watch has ended")
