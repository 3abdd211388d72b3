"""The watch stream of a store client at one member of etcd: all its watches go over it, each under its number.

    OPEN --created, events, progress--> OPEN
      |     a watch is quiet: has the member written since? then one progress request, which answers for all
      |
      +--ended, silent, late--> OVER      all watches fail by the same error; whoever holds one resumes it

etcd's own client does the same. A fleet has a stream for each gateway, not one for each prefix that gateways follow.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import deque
from typing import Any, NamedTuple, Protocol

from aetcd import rpc
from grpc import StatusCode

from sidecar.coord.background import Background, first
from sidecar.coord.etcd_cluster import Cluster, Metadata, Repeat
from sidecar.coord.etcd_errors import Refusal, end, hear, say
from sidecar.coord.etcd_keys import Range
from sidecar.coord.etcd_member import Member
from sidecar.coord.store import Compacted, StoreError, StoreUnavailable

QUIET_TIMEOUTS = 2
"""After so many times a call's deadline without a word for some watch it is asked whether anybody is there."""
JITTER = 0.25
"""Of that time, so that a fleet whose watches began together does not ask together."""
ASKED = 2
"""Progress requests are dropped while the member catches up: so one is made twice."""
_EVERY_WATCH = -1
"""The number in an answer that is for all watches of a stream, or for one that was refused before it had its own."""


class Watcher(Protocol):
    """A watch, as its stream sees it. Nothing of it may block."""

    keys: Range
    start: int
    """The first revision that it wants."""
    heard_s: float
    """When it last had a word, by the clock of the loop."""

    def take(self, response: Any, member: Member) -> bool:
        """A response for it, from there; whether it goes on."""

    def fail(self, error: StoreError) -> None:
        """The stream is over."""


class _Creation(NamedTuple):
    number: int
    watcher: Watcher
    answer: asyncio.Future[Any]


class Stream:
    """One call to one member, with one token."""

    def __init__(self, cluster: Cluster, member: Member, metadata: Metadata, dice: random.Random) -> None:
        loop = asyncio.get_running_loop()
        self.over = False
        self._cluster, self._member, self._dice = cluster, member, dice
        self._call = member.watches.Watch(metadata=metadata)
        self._watchers: dict[int, Watcher] = {}
        self._numbers = itertools.count(1)
        self._creations: deque[_Creation] = deque()
        """In the order of their requests, which is that of the answers."""
        self._outbox: asyncio.Queue[Any] = asyncio.Queue()
        """One task writes: a writer that is cancelled ends the call for all."""
        self._revision = 0
        """The member has come as far at least."""
        self._asked_s, self._jitter = loop.time(), dice.random()
        self._heard_s = loop.time()
        """When the member last said anything."""
        self._word: asyncio.Future[None] | None = None
        self._broken: asyncio.Future[None] = loop.create_future()
        self._background = Background(f"watch stream at {member}")
        self._background.start(self._live())

    @property
    def idle(self) -> bool:
        """Whether nobody watches by it, nor is about to."""
        return not self._watchers and not self._creations

    async def begin(self, watcher: Watcher, within_s: float) -> Any:
        """Begins a watch; the response that says so. Refusal when it is refused, or not in time."""
        number = next(self._numbers)
        creation = _Creation(number, watcher, asyncio.get_running_loop().create_future())
        self._creations.append(creation)
        request = rpc.WatchCreateRequest(
            key=watcher.keys.key,
            range_end=watcher.keys.end,
            start_revision=watcher.start,
            progress_notify=True,
            fragment=True,
            watch_id=number,
        )
        self._outbox.put_nowait(rpc.WatchRequest(create_request=request))
        try:
            async with asyncio.timeout(within_s):
                created = await creation.answer
            check(created)
        except TimeoutError:
            late = Refusal(StatusCode.DEADLINE_EXCEEDED, "it does not begin a watch")
            if asyncio.get_running_loop().time() - self._heard_s >= within_s:  # else it is busy, not gone
                self._break(late)
            raise late from None
        except BaseException:
            self.leave(watcher)
            raise
        return created

    def leave(self, watcher: Watcher) -> None:
        """It watches no longer. Nothing to do where the stream is over."""
        for number, one in self._watchers.items():
            if one is watcher:
                del self._watchers[number]
                self._cancel(number)
                return

    async def close(self) -> None:
        """Ends it, and returns when nothing of it is left."""
        await self._background.stop()

    # ---- its life

    async def _live(self) -> None:
        try:
            await first(self._read(), self._write(), self._look_after(), self._breaks())
        except Refusal as refusal:
            self._break(refusal)
        finally:
            self._finish(Refusal(StatusCode.CANCELLED, "the watch is closed"))
            await end(self._call)

    def _break(self, refusal: Refusal) -> None:
        """The member does not do."""
        if not self.over and isinstance(refusal.told_by(self._member), StoreUnavailable):
            self._cluster.leave(self._member)
        self._finish(refusal)

    def _finish(self, refusal: Refusal) -> None:
        """Only the first reason counts."""
        if self.over:
            return
        self.over = True
        error = refusal.told_by(self._member)
        if not self._broken.done():
            self._broken.set_result(None)
        for creation in self._creations:
            if not creation.answer.done():
                creation.answer.set_exception(refusal)
        for watcher in self._watchers.values():
            watcher.fail(error)
        self._creations.clear()
        self._watchers.clear()

    async def _breaks(self) -> None:
        await self._broken

    async def _write(self) -> None:
        while True:
            await say(self._call, await self._outbox.get())

    async def _read(self) -> None:
        while True:
            self._hear(await hear(self._call))

    # ---- what the member says

    def _hear(self, response: Any) -> None:
        self._revision = max(self._revision, response.header.revision)
        self._heard_s = asyncio.get_running_loop().time()
        if self._word is not None and not self._word.done():
            self._word.set_result(None)
        number = response.watch_id
        if response.created:
            self._created(response)
        elif number == _EVERY_WATCH:
            for each in tuple(self._watchers):
                self._give(each, response)
        elif number in self._watchers:  # else it has left, and this was on its way
            self._give(number, response)

    def _give(self, number: int, response: Any) -> None:
        if not self._watchers[number].take(response, self._member):
            del self._watchers[number]
            if not response.canceled:
                self._cancel(number)

    def _created(self, response: Any) -> None:
        creation = self._creations.popleft()
        if creation.answer.done():  # whoever wanted it does no longer
            if not response.canceled:
                self._cancel(creation.number)
            return
        if not response.canceled:
            self._watchers[creation.number] = creation.watcher
            creation.watcher.heard_s = asyncio.get_running_loop().time()
        creation.answer.set_result(response)

    def _cancel(self, number: int) -> None:
        self._outbox.put_nowait(rpc.WatchRequest(cancel_request=rpc.WatchCancelRequest(watch_id=number)))

    # ---- quiet times

    async def _look_after(self) -> None:
        """Refusal when the member does not live up to it any more."""
        loop = asyncio.get_running_loop()
        while True:
            quiet_s = self._cluster.timeout_s * QUIET_TIMEOUTS * (1.0 + JITTER * self._jitter)
            left_s = self._quiet_since_s() + quiet_s - loop.time()
            if left_s > 0:
                await asyncio.sleep(left_s)
                continue
            await self._ask()
            self._asked_s, self._jitter = loop.time(), self._dice.random()

    def _quiet_since_s(self) -> float:
        now_s = asyncio.get_running_loop().time()
        return max(min((each.heard_s for each in self._watchers.values()), default=now_s), self._asked_s)

    async def _ask(self) -> None:
        """A member that has nothing new since the start of a watch answers no progress request: ask only then."""
        starts = [each.start for each in self._watchers.values()]
        if not starts:
            return
        if self._revision < max(starts):
            keys = next(iter(self._watchers.values())).keys
            self._revision = max(self._revision, await self._cluster.at(self._member, keys.revision_here))
            if self._revision < max(starts):
                return
        for _ in range(ASKED):
            self._word = asyncio.get_running_loop().create_future()
            self._outbox.put_nowait(rpc.WatchRequest(progress_request=rpc.WatchProgressRequest()))
            done, _ = await asyncio.wait([self._word], timeout=self._cluster.timeout_s / 2)
            self._word = None
            if done:
                return
        raise Refusal(StatusCode.DEADLINE_EXCEEDED, "the watch is silent")


class Streams:
    """The streams of one store client: one, but for moments when another member or another token is taken."""

    def __init__(self, cluster: Cluster, dice: random.Random) -> None:
        self.cluster = cluster
        self._dice = dice
        self._streams: dict[tuple[Member, Metadata], Stream] = {}

    async def begin(self, watcher: Watcher) -> tuple[Stream, Any]:
        """Begins a watch at the member in use; the stream that it goes over, and the response. A StoreError."""

        async def attempt(member: Member, metadata: Metadata, within_s: float) -> tuple[Stream, Any]:
            stream = self._streams.get((member, metadata))
            if stream is None or stream.over:
                stream = self._streams[member, metadata] = Stream(self.cluster, member, metadata, self._dice)
            try:
                return stream, await stream.begin(watcher, within_s)
            finally:
                await self._tidy()

        return await self.cluster.call(attempt, Repeat.SAFELY)

    async def leave(self, stream: Stream, watcher: Watcher) -> None:
        """It watches no longer; a stream by which nobody does is closed."""
        stream.leave(watcher)
        await self._tidy()

    async def close(self) -> None:
        """Ends all of them."""
        streams = [*self._streams.values()]
        self._streams.clear()
        await asyncio.gather(*(stream.close() for stream in streams))

    async def _tidy(self) -> None:
        unused = [key for key, stream in self._streams.items() if stream.over or stream.idle]
        for stream in [self._streams.pop(key) for key in unused]:  # all at once: others tidy up, too
            await stream.close()


def check(response: Any) -> None:
    """Refusal or Compacted when the member has cancelled the watch, or has not begun it."""
    if response.compact_revision:
        raise Compacted(f"etcd has forgotten the changes before revision {response.compact_revision}")
    if response.canceled:
        raise Refusal(StatusCode.CANCELLED, response.cancel_reason or "it has cancelled the watch")
