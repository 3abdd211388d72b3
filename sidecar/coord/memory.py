"""The embedded store: all of it in this process, and what hangs on no lease in a file as well."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from sidecar.clock import Clock, SystemClock
from sidecar.coord.pulse import Pulse
from sidecar.coord.state_file import Image, StateFile
from sidecar.coord.store import (
    ABSENT,
    VALUE_LIMIT_BYTES,
    Batch,
    Compacted,
    Event,
    Fence,
    FenceLost,
    KeyValue,
    Kind,
    Lease,
    LeaseGone,
    Listing,
    StoreError,
    StoreFull,
    StoreUnavailable,
    WentBack,
)

HISTORY_EVENTS = 10_000
"""Changes that a watch can look back on."""
PROGRESS_REVISIONS = 1_000
"""A watch hears at least this often how far the store is."""
RESERVED_REVISIONS = 1 << 20
"""Revisions that the file grants in advance, so that writes under a lease need no disk and still never count back."""

Decision = Callable[[int], Sequence[Event]]
"""Given the next revision, the events of a write: none if it does not happen. Raises what forbids it."""


class _Granted:
    """A lease as the store sees it."""

    def __init__(self, ttl_s: float, ends_s: float) -> None:
        self.ttl_s = ttl_s
        self.ends_s = ends_s
        self.keys: set[str] = set()


class MemoryStore:
    """A Store for a fleet of one.

    `file` keeps what hangs on no lease: a write returns once the disk has it, and does not happen when the disk
    refuses. Leases expire by `clock`. An operation whose caller is cancelled while the disk works still happens.
    """

    def __init__(
        self, file: Path | None = None, clock: Clock | None = None, *, history_events: int = HISTORY_EVENTS
    ) -> None:
        self._clock = clock or SystemClock()
        self._file = StateFile(file) if file else None
        image = self._file.load() if self._file else Image()
        self._entries = {entry.key: entry for entry in image.entries}
        self._revision = image.revision or 1  # as etcd: a new store is at revision 1
        self._reserved = image.revision
        self._leases: dict[int, _Granted] = {}
        self._due_s = math.inf
        """No lease ends before."""
        self._history: deque[Batch] = deque()
        self._history_limit = history_events
        self._history_size = 0
        self._forgotten = self._revision
        """Watches can look back to here."""
        self._dropped = 0
        """Batches that were in the history once: the number of its first one."""
        self._moved = Pulse()
        self._timer: asyncio.TimerHandle | None = None
        self._writing = asyncio.Lock()
        self._writes: set[asyncio.Task[Sequence[Event]]] = set()
        self._complaint = ""
        self._closed = False

    async def get(self, key: str) -> KeyValue | None:
        self._settle()
        return self._entries.get(key)

    async def list(self, prefix: str) -> Listing:
        self._settle()
        found = sorted(key for key in self._entries if key.startswith(prefix))
        return Listing(self._revision, tuple(self._entries[key] for key in found))

    async def put(self, key: str, value: bytes, *, lease: Lease | None = None, fence: Fence | None = None) -> int:
        def decide(revision: int) -> Sequence[Event]:
            self._allow(value, lease, fence)
            return [self._put(key, value, lease, revision)]

        (event,) = await self._commit(decide)
        return event.entry.modified

    async def compare_and_set(
        self, key: str, value: bytes, expected: int, *, lease: Lease | None = None, fence: Fence | None = None
    ) -> KeyValue | None:
        def decide(revision: int) -> Sequence[Event]:
            self._allow(value, lease, fence)
            if self._modified(key) != expected:
                return []
            return [self._put(key, value, lease, revision)]

        events = await self._commit(decide)
        return events[0].entry if events else None

    async def delete(self, key: str, expected: int | None = None, *, fence: Fence | None = None) -> bool:
        def decide(revision: int) -> Sequence[Event]:
            self._allow(b"", None, fence)
            modified = self._modified(key)
            if modified == ABSENT or (expected is not None and modified != expected):
                return []
            return [_deletion(self._entries[key], revision)]

        return bool(await self._commit(decide))

    def watch(self, prefix: str, after: int) -> AbstractAsyncContextManager[AsyncIterator[Batch]]:
        return self._watch(prefix, after)

    async def grant(self, ttl_s: float) -> Lease:
        self._settle()
        lease = Lease(secrets.randbits(63) | 1, ttl_s)  # never one that a former store has given out
        ends_s = self._clock.monotonic_s() + ttl_s
        self._leases[lease.id] = _Granted(ttl_s, ends_s)
        self._wake_by(ends_s)
        return lease

    async def keep_alive(self, lease: Lease) -> float:
        self._settle()
        granted = self._granted(lease)
        granted.ends_s = self._clock.monotonic_s() + granted.ttl_s
        return granted.ttl_s

    async def revoke(self, lease: Lease) -> None:
        def decide(revision: int) -> Sequence[Event]:
            granted = self._leases.pop(lease.id, None)
            return self._deletions(granted, revision) if granted else []

        await self._commit(decide)

    async def health(self) -> Sequence[str]:
        return [self._complaint] if self._complaint else []

    async def close(self) -> None:
        while self._writes:
            await asyncio.wait(self._writes)
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._moved.send()
        if self._file:
            self._file.close()

    def compact(self) -> None:
        """Forgets what was before now: a watch that is behind gets Compacted."""
        self._dropped += len(self._history)
        self._history.clear()
        self._history_size = 0
        self._forgotten = self._revision

    # Reading

    @contextlib.asynccontextmanager
    async def _watch(self, prefix: str, after: int) -> AsyncIterator[AsyncIterator[Batch]]:
        self._settle()
        if after > self._revision:
            raise WentBack(f"the store is at revision {self._revision}, and was at {after}")
        if after < self._forgotten:
            raise self._compacted(after)
        ahead = sum(1 for batch in self._history if batch.revision > after)
        batches = self._follow(prefix, after, self._dropped + len(self._history) - ahead)
        async with contextlib.aclosing(batches):
            yield batches

    async def _follow(self, prefix: str, told: int, number: int) -> AsyncGenerator[Batch, None]:
        """Batches from the one of this `number` on. `told` is the revision that the watcher knows."""
        while True:
            self._settle()
            if number < self._dropped:
                raise self._compacted(told)
            if number == self._dropped + len(self._history):
                await self._moved.wait()
                continue
            batch = self._history[number - self._dropped]
            number += 1
            events = tuple(event for event in batch.events if event.entry.key.startswith(prefix))
            if events or batch.revision - told >= PROGRESS_REVISIONS:
                told = batch.revision
                yield Batch(batch.revision, events)

    def _compacted(self, after: int) -> Compacted:
        return Compacted(f"changes up to revision {self._forgotten} are forgotten, those after {after} are asked for")

    # Writing

    async def _commit(self, decide: Decision) -> Sequence[Event]:
        """The write that `decide` makes, done."""
        self._settle()
        if self._file is None:
            return self._happen(decide(self._revision + 1))
        write = asyncio.ensure_future(self._saved(decide, self._file))
        self._writes.add(write)
        write.add_done_callback(self._written)
        return await asyncio.shield(write)

    async def _saved(self, decide: Decision, file: StateFile) -> Sequence[Event]:
        async with self._writing:
            self._settle(expire=True)
            events = decide(self._revision + 1)
            lasting = any(self._lasts(event) for event in events)
            if lasting or (events and self._revision + RESERVED_REVISIONS // 2 > self._reserved):
                image = self._image(events)
                try:
                    await asyncio.to_thread(file.save, image)
                except StoreError as error:
                    self._complaint = error.message
                    if lasting:
                        raise  # what hangs on a lease would not outlive a restart anyway: that goes on
                else:
                    self._complaint = ""
                    self._reserved = image.revision
            self._happen(events)
        self._settle()
        return events

    def _written(self, write: asyncio.Task[Sequence[Event]]) -> None:
        self._writes.discard(write)
        if not write.cancelled():
            write.exception()  # the caller has it, unless it was cancelled and does not want it

    def _lasts(self, event: Event) -> bool:
        """Whether it changes what outlives a restart."""
        former = self._entries.get(event.entry.key)
        was = former is not None and not former.lease
        return was or (event.kind is Kind.PUT and not event.entry.lease)

    def _image(self, events: Sequence[Event]) -> Image:
        """What is to be saved before `events` happen."""
        entries = {key: entry for key, entry in self._entries.items() if not entry.lease}
        for event in events:
            entries.pop(event.entry.key, None)
            if event.kind is Kind.PUT and not event.entry.lease:
                entries[event.entry.key] = event.entry
        return Image(self._revision + RESERVED_REVISIONS, tuple(entries.values()))

    def _happen(self, events: Sequence[Event]) -> Sequence[Event]:
        if not events:
            return events
        self._revision += 1
        for event in events:
            key = event.entry.key
            former = self._entries.pop(key, None)
            if former and former.lease in self._leases:
                self._leases[former.lease].keys.discard(key)
            if event.kind is Kind.PUT:
                self._entries[key] = event.entry
                if event.entry.lease:
                    self._leases[event.entry.lease].keys.add(key)
        batch = Batch(self._revision, tuple(events))
        self._history.append(batch)
        self._history_size += len(events)
        while self._history_size > self._history_limit:
            oldest = self._history.popleft()
            self._history_size -= len(oldest.events)
            self._forgotten = oldest.revision
            self._dropped += 1
        self._moved.send()
        return events

    def _allow(self, value: bytes, lease: Lease | None, fence: Fence | None) -> None:
        if len(value) > VALUE_LIMIT_BYTES:
            raise StoreFull(f"a value has {len(value)} bytes, {VALUE_LIMIT_BYTES} are allowed")
        if fence is not None:
            holder = self._entries.get(fence.key)
            if holder is None or holder.created != fence.token:
                raise FenceLost(f"{fence.key} is no longer held by token {fence.token}")
        if lease is not None:
            self._granted(lease)

    def _put(self, key: str, value: bytes, lease: Lease | None, revision: int) -> Event:
        former = self._entries.get(key)
        created = former.created if former else revision
        return Event(Kind.PUT, KeyValue(key, value, created, revision, lease.id if lease else 0))

    def _modified(self, key: str) -> int:
        entry = self._entries.get(key)
        return entry.modified if entry else ABSENT

    # Leases and time

    def _granted(self, lease: Lease) -> _Granted:
        granted = self._leases.get(lease.id)
        if granted is None or granted.ends_s <= self._clock.monotonic_s():
            raise LeaseGone(f"lease {lease.id:x} has expired")
        return granted

    def _deletions(self, granted: _Granted, revision: int) -> Sequence[Event]:
        return [_deletion(self._entries[key], revision) for key in sorted(granted.keys)]

    def _settle(self, *, expire: bool = False) -> None:
        """Lets leases expire that are due, unless a write is on its way to the disk and has the next revision."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if self._writing.locked() and not expire:
            return
        now_s = self._clock.monotonic_s()
        if now_s < self._due_s:
            return
        for lease_id, granted in [*self._leases.items()]:
            if granted.ends_s <= now_s:
                del self._leases[lease_id]
                self._happen(self._deletions(granted, self._revision + 1))
        self._due_s = math.inf
        self._wake_by(min((granted.ends_s for granted in self._leases.values()), default=math.inf))

    def _wake_by(self, due_s: float) -> None:
        """Wakes the store when a lease ends: nobody may ask by then, and watches want to know."""
        if due_s >= self._due_s:
            return
        self._due_s = due_s
        if self._timer is not None:
            self._timer.cancel()
        wait_s = max(due_s - self._clock.monotonic_s(), 0.01)
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._rung)

    def _rung(self) -> None:
        self._timer = None
        self._settle()
        if self._timer is None:  # the clock is not there yet, or a write is on its way to the disk
            due_s, self._due_s = self._due_s, math.inf
            self._wake_by(due_s)


def _deletion(entry: KeyValue, revision: int) -> Event:
    return Event(Kind.DELETE, KeyValue(entry.key, b"", entry.created, revision, 0))
