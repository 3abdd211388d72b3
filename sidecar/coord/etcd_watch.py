"""One watch of etcd. Whoever holds it resumes it: here it only never misses, and never hangs.

BEGUN --events, progress--> BEGUN
   |
   +--> FAILED: cancelled, its stream over, not read for long      (for good: every further step raises the same)

What etcd promises of a watch: https://etcd.io/docs/v3.6/learning/api_guarantees (ordered, unique, atomic, resumable).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from itertools import groupby
from types import TracebackType
from typing import Any, Self

from aetcd import rpc

from sidecar.coord.etcd_cluster import Repeat
from sidecar.coord.etcd_errors import Refusal
from sidecar.coord.etcd_keys import Range, entry_of
from sidecar.coord.etcd_member import Member
from sidecar.coord.etcd_stream import Stream, Streams, check
from sidecar.coord.store import Batch, Event, Kind, StoreError, StoreUnavailable, WentBack

UNREAD_MOST = 10_000
"""Batches that wait for whoever reads. More of them fail the watch: it is resumed at what was read."""


class Watch(AsyncIterator[Batch]):
    """The changes within a range of keys, of all revisions above `after`. Implements `etcd_stream.Watcher`."""

    def __init__(self, streams: Streams, keys: Range, after: int) -> None:
        self.keys = keys
        self.start = after + 1
        self.heard_s = 0.0
        self._streams = streams
        self._stream: Stream | None = None
        self._after = after
        """Everything up to this revision has been given out, or is in `_batches`."""
        self._batches: deque[Batch] = deque()
        self._fragments: list[Any] = []
        self._failure: StoreError | None = None
        self._waiting: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        self._stream, created = await self._streams.begin(self)
        try:
            if created.header.revision < self._after:
                await self._recount(created.header.revision)
        except BaseException:
            await self._streams.leave(self._stream, self)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.fail(StoreUnavailable("the watch is closed"))
        if self._stream is not None:
            await self._streams.leave(self._stream, self)

    async def __anext__(self) -> Batch:
        while not self._batches:
            if self._failure is not None:
                raise self._failure
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._batches.popleft()

    # For its stream

    def take(self, response: Any, member: Member) -> bool:
        """A response for it, from there; whether it goes on."""
        self.heard_s = asyncio.get_running_loop().time()
        try:
            self._take(response)
        except Refusal as refusal:
            error = refusal.told_by(member)
            if isinstance(error, StoreUnavailable):
                self._streams.cluster.leave(member)
            self.fail(error)
        except StoreError as error:  # Compacted
            self.fail(error)
        if len(self._batches) > UNREAD_MOST:
            self.fail(StoreUnavailable(f"a watch of {self.keys.key!r} is not read: {len(self._batches)} batches wait"))
        if self._batches:
            self._wake()
        return self._failure is None

    def fail(self, error: StoreError) -> None:
        """No more comes than what waits already."""
        self._failure = self._failure or error
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    # What it says

    async def _recount(self, revision: int) -> None:
        """The member knows less than we do. WentBack if all of them do; one that lags has it still to come.

        Without this a watch waits for ever for a revision that the store has forgotten that it had: even its cluster id
        is the same after its disk was wiped.
        """
        now = await self._streams.cluster.call(self.keys.revision, Repeat.SAFELY)
        if now < self._after:
            raise WentBack(f"etcd is at revision {max(now, revision)}, and was at {self._after}")

    def _take(self, response: Any) -> None:
        """Puts what a response brings into `_batches`. A StoreError or a Refusal when it ends the watch."""
        check(response)
        if response.fragment:
            self._fragments.append(response)
            return
        pieces, self._fragments = [*self._fragments, response], []
        events = [event for piece in pieces for event in piece.events if event.kv.mod_revision > self._after]
        for revision, together in groupby(events, key=lambda event: event.kv.mod_revision):
            self._after = revision
            self._batches.append(Batch(revision, tuple(map(_event, together))))
        if not any(piece.events for piece in pieces) and response.header.revision > self._after:
            self._after = response.header.revision
            self._batches.append(Batch(self._after))


def _event(event: Any) -> Event:
    kind = Kind.DELETE if event.type == rpc.Event.DELETE else Kind.PUT
    return Event(kind, entry_of(event.kv))
