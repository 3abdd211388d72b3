"""A part of the store, kept here: listed once, then followed by a watch, whatever happens to the connection.

              start
                |
                v        listed                      StoreUnavailable
            LISTING ---------------> WATCHING ------------------------------> AWAY
                ^                     |   ^                                    |
                |                     |   |      after a backoff: resumed      |
                +---------------------+   +------------------------------------+
                  Compacted, WentBack

After each resumption the copy is compared with a listing: a store that was wiped and has come as far again would go on
without what it did until then.
StoreDenied leads from everywhere to DENIED: the copy stays, and it is tried again at longer and longer intervals.
The steps are those of etcd's guarantees (ordered, unique, resumable above a revision, within the history that it keeps)
and of what is known to go wrong with them: https://etcd.io/docs/v3.5/learning/api_guarantees/#watch-apis
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from enum import StrEnum

from sidecar.clock import Clock
from sidecar.coord.background import Background, first
from sidecar.coord.backoff import LONGEST_S, Backoff
from sidecar.coord.pulse import Pulse
from sidecar.coord.replica import Change, Replica
from sidecar.coord.store import Batch, Compacted, KeyValue, Store, StoreDenied, StoreError, StoreUnavailable, WentBack
from sidecar.coord.subscribers import Subscribers
from sidecar.telemetry import log

RESYNC_EVERY_S = 300.0
SETTLE_S = 5.0
"""How long a watch may lag behind a listing before what it has not brought counts as lost."""


class MirrorState(StrEnum):
    """How a mirror stands to its store."""

    LISTING = "listing"
    WATCHING = "watching"
    AWAY = "away"
    DENIED = "denied"


class Mirror:
    """The keys under `prefix`. In every state `entries` is the last that was known."""

    def __init__(
        self,
        store: Store,
        prefix: str,
        *,
        clock: Clock,
        dice: random.Random,
        resync_every_s: float = RESYNC_EVERY_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._clock = clock
        self._dice = dice
        self._resync_every_s = resync_every_s
        self._settle_s = settle_s
        self._replica = Replica()
        self._entries = self._replica.entries
        self._subscribers = Subscribers[[Change]](f"changes under {prefix}")
        self._background = Background(f"mirror of {prefix}")
        self._ready = asyncio.Event()
        self._moved = Pulse()
        self._heard_s = self._since_s = clock.monotonic_s()
        self._resync_due_s = 0.0
        self._log = log.logger("coord").bind(prefix=prefix)
        self.state = MirrorState.LISTING
        self.reason = ""
        """Why it is AWAY or DENIED."""
        self.relists = 0
        """Listings after the first one."""
        self.resumes = 0
        self.batches = 0
        self.events = 0
        self.resync_diff = 0
        """Keys that a resync found different: changes that the watch has lost."""

    @property
    def entries(self) -> Mapping[str, KeyValue]:
        """By key; changes between two turns of the loop."""
        return self._entries

    @property
    def revision(self) -> int:
        """What the store was at when this was true of it; 0 before the first listing."""
        return self._replica.revision

    @property
    def since_s(self) -> float:
        """Seconds in this state."""
        return self._clock.monotonic_s() - self._since_s

    @property
    def age_s(self) -> float:
        """Seconds since the store last gave a sign of life."""
        return self._clock.monotonic_s() - self._heard_s

    def subscribe(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Calls `callback` after every change from now on. The answer ends it, and may be called twice."""
        return self._subscribers.add(callback)

    def start(self) -> None:
        """Begins; only once."""
        self._background.start(self._run())

    async def ready(self) -> None:
        """Returns when the first listing is in."""
        await self._ready.wait()

    async def reached(self, revision: int) -> None:
        """Returns when everything up to `revision` is in, as far as the store has said."""
        while self._replica.revision < revision:
            await self._moved.wait()

    async def stop(self) -> None:
        """Ends it. `entries` stays."""
        await self._background.stop()

    async def _run(self) -> None:
        backoff = Backoff(self._dice)
        listed = False
        while True:
            try:
                resumed = listed
                if not listed:
                    await self._list()
                    listed = True
                await self._watch(backoff, resumed=resumed)
            except (Compacted, WentBack) as error:
                self._fall(MirrorState.LISTING, error, backoff)
                listed = False
            except StoreDenied as error:
                self._fall(MirrorState.DENIED, error, backoff)
            except StoreError as error:
                self._fall(MirrorState.AWAY, error, backoff)
            await asyncio.sleep(backoff.next_s())

    async def _list(self) -> None:
        listing = await self._store.list(self._prefix)
        self.relists += self._ready.is_set()
        self._heard()
        change = self._replica.replace(listing)
        self._ready.set()
        self._resync_due_s = self._next_resync_s()
        self._publish(change)

    async def _watch(self, backoff: Backoff, *, resumed: bool) -> None:
        """Follows the store for as long as that goes well."""
        async with self._store.watch(self._prefix, self._replica.revision) as batches:
            self.resumes += resumed
            self._enter(MirrorState.WATCHING)
            self._heard()
            await first(self._follow(batches, backoff), self._resync(resumed=resumed))

    async def _follow(self, batches: AsyncIterator[Batch], backoff: Backoff) -> None:
        async for batch in batches:
            backoff.reset()
            self._heard()
            self.batches += 1
            self.events += len(batch.events)
            self._publish(self._replica.apply(batch))
        raise StoreUnavailable("the watch has ended")

    async def _resync(self, *, resumed: bool) -> None:
        """Now and then compares with a listing, against faults of the store and our own; after a pause at once."""
        if resumed:
            await self._compare(resumed=True)
        while True:
            await asyncio.sleep(max(self._resync_due_s - self._clock.monotonic_s(), 0))
            self._resync_due_s = self._next_resync_s()
            await self._compare(resumed=False)

    async def _compare(self, *, resumed: bool) -> None:
        revision = self._replica.revision
        self._replica.begin_comparison()
        listing = await self._store.list(self._prefix)
        self._heard()
        if listing.revision < revision:
            raise WentBack(f"the store is at revision {listing.revision}, and was at {revision}")
        change = self._replica.compare(listing)
        if resumed and any(entry.modified <= revision for entry in change.put):
            # It was wiped, or restored, and has come as far again: its watches would leave out what it did until then.
            raise WentBack(f"the store had another past up to revision {revision}")
        if change.keys:
            # The watch has the right to be late.
            await first(self.reached(listing.revision), asyncio.sleep(self._settle_s))
        change = self._replica.compare(listing)
        if change.keys:
            self.resync_diff += change.keys
            self._log.warning("a watch has lost changes", keys=change.keys, revision=listing.revision)
            self._replica.adopt(change)
            self._publish(change)

    def _next_resync_s(self) -> float:
        return self._clock.monotonic_s() + self._resync_every_s * self._dice.uniform(0.9, 1.1)

    def _publish(self, change: Change) -> None:
        self._moved.send()
        if change.keys:
            self._subscribers.tell(change)

    def _heard(self) -> None:
        self._heard_s = self._clock.monotonic_s()

    def _fall(self, state: MirrorState, error: StoreError, backoff: Backoff) -> None:
        if self.state is MirrorState.WATCHING and self.since_s >= LONGEST_S:
            backoff.reset()
        if self.state is not state:
            self._log.warning("a mirror fell behind", state=state, reason=error.message)
        self._enter(state, error.message)

    def _enter(self, state: MirrorState, reason: str = "") -> None:
        self.reason = reason
        if self.state is not state:
            self.state = state
            self._since_s = self._clock.monotonic_s()
