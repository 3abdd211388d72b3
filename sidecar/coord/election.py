"""Leadership: one of many at a time, and whoever follows can tell him from his predecessor.

                   first in line, and the session valid
    CAMPAIGNING -----------------------------------------> LEADING
        ^                                                     |
        |   stepped down: ttl - margin since the last good    |
        |   keepalive was sent, the key deleted, or resigned  |
        +-----------------------------------------------------+

Two may believe that they lead for as long as clocks and answers are late; never can two write. Every write of a leader
carries its fence (its own key and the revision that created it), which the store checks, and what is outside the store
gets the token with each order and refuses an older one. Kleppmann, "How to do distributed locking", 2016.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncGenerator, Callable

from sidecar.coord.background import first
from sidecar.coord.backoff import Backoff
from sidecar.coord.session import Session
from sidecar.coord.store import Fence, FenceLost, KeyValue, Kind, Lease, LeaseGone, Listing, Store, StoreError
from sidecar.coord.turn import PASSING, PlaceLost, Turn
from sidecar.telemetry import log

MARGIN = 0.2
"""Of the ttl: so long before the lease can expire a leader has stopped."""


class Leadership:
    """One time in office."""

    def __init__(self, fence: Fence, lease: Lease, session: Session, margin_s: float) -> None:
        self.fence = fence
        """Goes with every write."""
        self._lease = lease
        self._session = session
        self._margin_s = margin_s
        self._over = False

    @property
    def token(self) -> int:
        """Grows from leader to leader."""
        return self.fence.token

    def valid(self, margin_s: float | None = None) -> bool:
        """Whether to act on it. `margin_s`: other than the election's."""
        margin_s = self._margin_s if margin_s is None else margin_s
        return not self._over and self._session.lease is self._lease and self._session.valid(margin_s)

    def end(self) -> None:
        """It is over, for good."""
        self._over = True


class Election:
    """A candidate in the election under `folder`. `value` says who it is; others see it through `leader`."""

    def __init__(
        self,
        store: Store,
        session: Session,
        folder: str,
        value: bytes = b"",
        *,
        dice: random.Random,
        margin_s: float | None = None,
    ) -> None:
        self.leadership: Leadership | None = None
        self._store = store
        self._session = session
        self._folder = folder
        self._value = value
        self._dice = dice
        self._backoff = Backoff(dice)
        self._margin_s = session.ttl_s * MARGIN if margin_s is None else margin_s
        self._lost: Callable[[], None] = _nothing
        self._resigned = asyncio.Event()
        self._log = log.logger("coord").bind(election=folder)

    async def run(self, gained: Callable[[Leadership], None], lost: Callable[[], None]) -> None:
        """Campaigns for ever; `gained` and `lost` take turns. Cancelled, it resigns."""
        self._lost = lost
        name = _name()
        turn: Turn | None = None
        lease: Lease | None = None
        try:
            while True:
                if self._resigned.is_set():
                    self._resigned.clear()
                    name = _name()
                lease = await self._session.ready(self._margin_s)
                key = f"{self._folder}{lease.id:016x}-{name}"
                turn = Turn(self._store, lease, self._folder, key, value=self._value, backoff=self._backoff)
                try:
                    await first(turn.wait(), self._session.gone(lease))
                    if turn.fence is not None and self._session.valid(self._margin_s):
                        self._backoff.reset()
                        await self._lead(turn, turn.fence, lease, gained)
                except (LeaseGone, PlaceLost):
                    self._log.info("a place in an election was lost")
                except StoreError as error:
                    self._log.warning("an election cannot go on", reason=error.message)
                await asyncio.sleep(self._backoff.next_s())
        finally:
            # One that has stepped down keeps its place: nobody else could lead for as long as the session lives.
            if turn is not None:
                await self._session.discard(turn.key, unanswered=lease if turn.unanswered else None)

    async def leader(self) -> KeyValue | None:
        """Who leads now: the entry of the first in line."""
        return _first(await self._store.list(self._folder))

    async def observe(self) -> AsyncGenerator[KeyValue | None, None]:
        """Who leads, now and after every change of it, or of what it proclaims."""
        backoff = Backoff(self._dice)
        told: KeyValue | None = None
        fresh = True
        while True:
            try:
                listing = await self._store.list(self._folder)
                leader = _first(listing)
                if fresh or leader != told:
                    fresh, told = False, leader
                    yield told
                async with self._store.watch(leader.key if leader else self._folder, listing.revision) as batches:
                    async for batch in batches:
                        backoff.reset()
                        if not batch.events:
                            continue
                        if leader is None or any(event.kind is Kind.DELETE for event in batch.events):
                            break
                        told = batch.events[-1].entry
                        yield told
            except PASSING:
                await asyncio.sleep(backoff.next_s())

    async def proclaim(self, value: bytes) -> None:
        """Replaces the value that others see. FenceLost where this candidate does not lead."""
        leadership = self.leadership
        if leadership is None or not leadership.valid():
            raise FenceLost(f"{self._folder} is led by somebody else")
        fence = leadership.fence
        await self._store.put(fence.key, value, lease=self._session.lease, fence=fence)
        self._value = value

    async def resign(self) -> None:
        """Gives the leadership to the next in line, and lines up behind the last. Nothing to do where it has none."""
        leadership = self.leadership
        if leadership is not None:
            self._step_down(leadership)
            self._resigned.set()  # before the key goes, lest it is put again
            await self._session.discard(leadership.fence.key)

    async def _lead(self, turn: Turn, fence: Fence, lease: Lease, gained: Callable[[Leadership], None]) -> None:
        leadership = Leadership(fence, lease, self._session, self._margin_s)
        self._log.info("this gateway leads", token=leadership.token)
        self.leadership = leadership
        try:
            gained(leadership)
            await first(
                turn.over(),
                self._session.gone(lease),
                self._session.lapse(self._margin_s),
                self._resigned.wait(),
            )
        finally:
            self._step_down(leadership)

    def _step_down(self, leadership: Leadership) -> None:
        leadership.end()
        if self.leadership is leadership:
            self.leadership = None
            self._log.info("this gateway no longer leads", token=leadership.token)
            self._lost()


def _first(listing: Listing) -> KeyValue | None:
    return min(listing.entries, key=lambda entry: entry.created, default=None)


def _name() -> str:
    # Two candidates on one session are two. Of one length, so that no key is the beginning of another.
    return secrets.token_hex(4)


def _nothing() -> None:
    """Nobody has asked to be told."""
