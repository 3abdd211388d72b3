"""One watch of etcd, on a stream of its own. Whoever holds it resumes it: here it only never misses, and never hangs.

OPENING --created--> OPEN --events, progress--> OPEN
   |                  | quiet: is the member there, has it written since? then a progress request
   |                  |
   +--> FAILED <------+ cancelled, stream ended, silent      (for good: every further step raises the same)

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
from grpc import StatusCode

from sidecar.coord.etcd_cluster import Cluster, Metadata, Repeat
from sidecar.coord.etcd_errors import Refusal, end, hear, say
from sidecar.coord.etcd_keys import Range, entry_of
from sidecar.coord.etcd_member import Member
from sidecar.coord.store import Batch, Compacted, Event, Kind, StoreError, StoreUnavailable, WentBack

QUIET_TIMEOUTS = 2
"""After so many times a call's deadline without a word, a watch asks whether anybody is there."""


class Watch(AsyncIterator[Batch]):
    """The changes within a range of keys, of all revisions above `after`."""

    def __init__(self, cluster: Cluster, keys: Range, after: int) -> None:
        self._cluster = cluster
        self._keys = keys
        self._start = after + 1
        self._after = after
        """Everything up to this revision has been given out, or is in `_batches`."""
        self._batches: deque[Batch] = deque()
        self._fragments: list[Any] = []
        self._call: Any = None
        self._member: Member
        self._reading: asyncio.Task[Any] | None = None
        self._failure: StoreError | None = None

    async def __aenter__(self) -> Self:
        created = await self._cluster.call(self._open, Repeat.SAFELY)
        try:
            if created.header.revision < self._after:
                await self._recount(created.header.revision)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def __anext__(self) -> Batch:
        while not self._batches:
            if self._failure is not None:
                raise self._failure
            try:
                self._take(await self._receive())
            except Refusal as refusal:
                self._failure = refusal.told_by(self._member)
                if isinstance(self._failure, StoreUnavailable):
                    self._cluster.leave(self._member)
            except StoreError as error:
                self._failure = error
        return self._batches.popleft()

    # Opening and closing

    async def _open(self, member: Member, metadata: Metadata, within_s: float) -> Any:
        """Begins the watch at a member; the response that says so."""
        self._member = member
        self._call = member.watches.Watch(metadata=metadata)
        create = rpc.WatchCreateRequest(
            key=self._keys.key,
            range_end=self._keys.end,
            start_revision=self._start,
            progress_notify=True,
            fragment=True,
        )
        try:
            async with asyncio.timeout(within_s):
                await say(self._call, rpc.WatchRequest(create_request=create))
                response = await hear(self._call)
            _check(response)
        except TimeoutError:
            await self._close()
            raise Refusal(StatusCode.DEADLINE_EXCEEDED, "it does not begin a watch") from None
        except BaseException:
            await self._close()
            raise
        return response

    async def _recount(self, revision: int) -> None:
        """The member knows less than we do. WentBack if all of them do; one that lags has it still to come.

        Without this a watch waits for ever for a revision that the store has forgotten that it had: even its cluster id
        is the same after its disk was wiped.
        """
        now = await self._cluster.call(self._keys.revision, Repeat.SAFELY)
        if now < self._after:
            raise WentBack(f"etcd is at revision {max(now, revision)}, and was at {self._after}")

    async def _close(self) -> None:
        call, self._call = self._call, None
        reading, self._reading = self._reading, None
        if call is not None:
            await end(call)
        if reading is not None:
            reading.cancel()
            await asyncio.wait([reading])
            if not reading.cancelled():
                reading.exception()  # it came too late for anybody to want it

    # The stream

    async def _receive(self) -> Any:
        """The next response. Refusal when the stream has ended, or the member does not live up to it any more."""
        if self._call is None:
            raise StoreUnavailable("the watch is closed")
        response = await self._next(self._cluster.timeout_s * QUIET_TIMEOUTS)
        while response is None:
            # A member that has nothing new since the start of the watch answers no progress request: ask only then.
            if await self._cluster.at(self._member, self._keys.revision_here) >= self._start:
                response = await self._progress()
            else:
                response = await self._next(self._cluster.timeout_s * QUIET_TIMEOUTS)
        return response

    async def _progress(self) -> Any:
        """The answer to a progress request. It is dropped while the member catches up: so it is made twice."""
        for _ in range(2):
            try:
                async with asyncio.timeout(self._cluster.timeout_s):
                    await say(self._call, rpc.WatchRequest(progress_request=rpc.WatchProgressRequest()))
            except TimeoutError:
                break
            if (response := await self._next(self._cluster.timeout_s / 2)) is not None:
                return response
        raise Refusal(StatusCode.DEADLINE_EXCEEDED, "the watch is silent")

    async def _next(self, within_s: float) -> Any:
        """The next response, or None in time. It goes on being read: cancelling a read would end the stream."""
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(hear(self._call))
        done, _ = await asyncio.wait([self._reading], timeout=within_s)
        if not done:
            return None
        reading, self._reading = self._reading, None
        return reading.result()

    # What it says

    def _take(self, response: Any) -> None:
        """Puts what a response brings into `_batches`. A StoreError or a Refusal when it ends the watch."""
        _check(response)
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


def _check(response: Any) -> None:
    """Refusal or Compacted when the member has cancelled the watch."""
    if response.compact_revision:
        raise Compacted(f"etcd has forgotten the changes before revision {response.compact_revision}")
    if response.canceled:
        raise Refusal(StatusCode.CANCELLED, response.cancel_reason or "it has cancelled the watch")


def _event(event: Any) -> Event:
    kind = Kind.DELETE if event.type == rpc.Event.DELETE else Kind.PUT
    return Event(kind, entry_of(event.kv))
