"""One lease of this process, kept alive, and the keys that hang on it.

              granted                    keepalive every ttl/3
    NONE ------------------> HELD <--------------------------------+
     ^                       |  |                                  |
     |   LeaseGone: lost     |  | no keepalive for ttl             | one gets through, and
     +-----------------------+  +-------------> SUSPECT -----------+ our keys are looked up first
     |                                             |
     +---------------------------------------------+
         LeaseGone: lost. After 0 to ttl/3 a new lease, and all keys anew

The time that counts is when the last good keepalive was *sent*: from then on for `ttl` the store cannot have let the
lease expire, whatever it was that delayed the answer. In SUSPECT the store may have handed over to others already.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable

from sidecar.clock import Clock
from sidecar.coord.background import Background
from sidecar.coord.backoff import Backoff
from sidecar.coord.pulse import Pulse
from sidecar.coord.store import VALUE_LIMIT_BYTES, Lease, LeaseGone, Store, StoreError, StoreFull, StoreUnavailable
from sidecar.coord.subscribers import Subscribers
from sidecar.telemetry import log

BEATS = 3
"""Keepalives in a ttl: two may be lost."""
FAREWELL = b""
"""What a key has before its holder ends the lease: it goes because it is meant to."""


class _Record:
    """A key of ours."""

    def __init__(self, value: bytes) -> None:
        self.value = value
        self.written: Lease | None = None
        """The lease under which the store has this value."""


class Session:
    """A lease of `ttl_s` seconds, for as long as the process wants one."""

    def __init__(self, store: Store, ttl_s: float, *, clock: Clock, dice: random.Random) -> None:
        self.ttl_s = ttl_s
        self.lease: Lease | None = None
        self.losses = 0
        """Leases that have expired."""
        self.reason = ""
        """Why the last keepalive or write failed; empty when it went well."""
        self._store = store
        self._clock = clock
        self._dice = dice
        self._beat_s = ttl_s / BEATS
        self._good_until_s = 0.0
        self._records: dict[str, _Record] = {}
        self._discarded: dict[str, bool] = {}
        """Keys under the lease that shall go; whether again and again, since a put of one may still come."""
        self._writing = asyncio.Lock()
        self._changed = Pulse()
        self._wanted = asyncio.Event()
        """Set when the next beat cannot wait."""
        self._subscribers = Subscribers[[]]("lost leases")
        self._again = False
        """Whether the next lease is one after a loss."""
        self._background = Background("session")
        self._log = log.logger("coord")

    def start(self) -> None:
        """Begins; only once."""
        self._background.start(self._run())

    async def farewell(self) -> bool:
        """Says of every key that it will not be missed, and puts none any more; whether the store knows. Then `close`.

        A key that somebody else has put since is his.
        """
        lease = self.lease
        if lease is None:
            return False
        try:
            async with self._writing:
                keys, self._records = tuple(self._records), {}
                for key in keys:
                    entry = await self._store.get(key)
                    if entry is not None and entry.lease == lease.id:
                        await self._store.compare_and_set(key, FAREWELL, entry.modified, lease=lease)
        except StoreError as error:
            self._log.warning("the store does not take a farewell", reason=error.message)
            return False
        return True

    async def close(self) -> None:
        """Ends the lease, and with it all keys."""
        await self._background.stop()
        lease, self.lease = self.lease, None
        self._changed.send()
        if lease is not None:
            try:
                await self._store.revoke(lease)
            except StoreError as error:
                self._log.warning("a lease is left to expire", reason=error.message, ttl_s=self.ttl_s)

    def valid(self, margin_s: float = 0.0) -> bool:
        """Whether the lease holds for another `margin_s` at least, for all that can be known here."""
        return self.lease is not None and self._clock.monotonic_s() + margin_s < self._good_until_s

    async def ready(self, margin_s: float = 0.0) -> Lease:
        """The lease, once there is one that is `valid(margin_s)`."""
        while self.lease is None or not self.valid(margin_s):
            await self._changed.wait()
        return self.lease

    async def lapse(self, margin_s: float = 0.0) -> None:
        """Returns when it is not `valid(margin_s)`: what rests on the lease has to be over then."""
        while self.valid(margin_s):
            left_s = self._good_until_s - margin_s - self._clock.monotonic_s()
            await asyncio.sleep(left_s + 0.001)  # not just before

    async def gone(self, lease: Lease) -> None:
        """Returns when `lease` is no longer the one that is kept alive."""
        while self.lease is lease:
            await self._changed.wait()

    def subscribe_lost(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls `callback` when a lease has expired. The answer ends it, and may be called twice."""
        return self._subscribers.add(callback)

    async def put(self, key: str, value: bytes) -> bool:
        """Registers `key` for as long as this session lives; again with another value.

        True when the store has it. False: it cannot be reached, and gets it as soon as it can. What is there already
        is not written again. Raises what no repetition mends (StoreDenied, StoreFull); it is repeated all the same,
        unless the value is too large for any store.
        """
        if len(value) > VALUE_LIMIT_BYTES:
            raise StoreFull(f"the value of {key} has {len(value)} bytes, {VALUE_LIMIT_BYTES} are allowed")
        record = self._records.get(key)
        if record is None or record.value != value:
            self._records[key] = _Record(value)
        self._discarded.pop(key, None)
        try:
            return await self._write(key)
        except LeaseGone:
            return False
        except StoreError as error:
            if not error.retryable:
                raise
            self._wanted.set()
            return False

    async def remove(self, key: str) -> None:
        """Registers it no longer."""
        if self._records.pop(key, None) is not None:
            await self.discard(key)

    async def discard(self, key: str, *, unanswered: Lease | None = None) -> None:
        """Deletes a key that hangs on the lease; where the store cannot be reached, as soon as it can.

        `unanswered`: a put of it under this lease was given up, and may still be on its way: a member that is frozen
        does it when it wakes. It is deleted again and again for as long as the lease lives; after that no put counts.
        """
        self._discarded[key] = unanswered is not None and unanswered is self.lease
        try:
            await self._sweep(key)
        except StoreError as error:
            self.reason = error.message
            self._wanted.set()

    async def _run(self) -> None:
        backoff = Backoff(self._dice, longest_s=self._beat_s)
        while True:
            if self._again:
                # So that a fleet whose leases expired together does not come back all at once.
                self._again = False
                await asyncio.sleep(self._dice.uniform(0, self._beat_s))
            sent_s = self._clock.monotonic_s()
            self._wanted.clear()
            try:
                await self._beat()
                async with self._in_time():
                    await self._catch_up()
            except LeaseGone:
                continue
            except StoreError as error:
                if not self.reason:
                    self._log.warning("a session cannot reach its store", reason=error.message)
                self.reason = error.message
                await asyncio.sleep(backoff.next_s())
            else:
                self.reason = ""
                backoff.reset()
                await self._rest(sent_s + self._beat_s - self._clock.monotonic_s())

    async def _rest(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(max(pause_s, 0)):
                await self._wanted.wait()
        except TimeoutError:
            return  # nobody wanted anything

    async def _beat(self) -> None:
        """Renews the lease, or gets one."""
        sent_s = self._clock.monotonic_s()
        async with self._in_time():
            if self.lease is None:
                self.lease = await self._store.grant(self.ttl_s)
                good_s = min(self.ttl_s, self.lease.ttl_s)
            else:
                good_s = min(self.ttl_s, await self._keep_alive(self.lease))
        if sent_s >= self._good_until_s:
            await self._look_up(self.lease)
        self._good_until_s = sent_s + good_s
        self._changed.send()

    @contextlib.asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Nothing holds the next keepalive up."""
        try:
            async with asyncio.timeout(self._beat_s):
                yield
        except TimeoutError as error:
            raise StoreUnavailable(f"no answer within {self._beat_s:.1f} s") from error

    async def _keep_alive(self, lease: Lease) -> float:
        try:
            return await self._store.keep_alive(lease)
        except LeaseGone:
            self._lose(lease)
            raise

    async def _look_up(self, lease: Lease) -> None:
        """After a pause: whatever of ours the store has not as we put it, has to be put again."""
        for key, record in [*self._records.items()]:
            if record.written is lease:
                entry = await self._store.get(key)
                if entry is None or entry.lease != lease.id or entry.value != record.value:
                    record.written = None
        if self.lease is not lease:
            raise LeaseGone("the lease was lost meanwhile")

    async def _catch_up(self) -> None:
        """Brings the store to what it should have."""
        failed: StoreError | None = None
        for work, key in [
            *((self._sweep, key) for key in self._discarded),
            *((self._write, key) for key in self._records),
        ]:
            try:
                await work(key)
            except (LeaseGone, StoreUnavailable):
                raise
            except StoreError as error:
                failed = error  # of this key only
        if failed is not None:
            raise failed

    async def _write(self, key: str) -> bool:
        async with self._writing:
            record, lease = self._records.get(key), self.lease
            if record is None or (lease is not None and record.written is lease):
                return True
            if lease is None:
                return False
            try:
                await self._store.put(key, record.value, lease=lease)
            except LeaseGone:
                self._lose(lease)
                raise
            record.written = lease
            return True

    async def _sweep(self, key: str) -> None:
        async with self._writing:
            if key in self._discarded:
                await self._store.delete(key)
                if not self._discarded.get(key):
                    self._discarded.pop(key, None)

    def _lose(self, lease: Lease) -> None:
        if self.lease is not lease:
            return
        self.lease = None
        self._good_until_s = 0.0
        self._discarded.clear()
        self.losses += 1
        self._again = True
        self._log.warning("a lease was lost", losses=self.losses, keys=len(self._records))
        self._changed.send()
        self._wanted.set()
        self._subscribers.tell()
