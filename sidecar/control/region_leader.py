"""What the leader of a region does: it alone watches the announcements, and writes the view and the sums.

    collectors, gateways --mirrors--> look --> view    by compare-and-set: whoever else wrote it is read first
                             ^         |
                             +- wake --+--> sums       less often: they are many figures, and nobody is moved by them

Both carry the leader's fence. The sums hang on its lease, and stay for a successor to write over.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import msgspec

from sidecar.clock import Clock
from sidecar.config.schema import RoutingConfig
from sidecar.control import region
from sidecar.control.records import CollectorRecord, GatewayRecord, StatsRecord, ViewRecord, read
from sidecar.control.roster import Roster
from sidecar.control.wake import Wake
from sidecar.coord.election import Leadership
from sidecar.coord.keys import Keys
from sidecar.coord.mirror import Mirror
from sidecar.coord.session import Session
from sidecar.coord.store import ABSENT, Store, StoreUnavailable
from sidecar.coord.survivors import GRACE_S, is_storm
from sidecar.telemetry import log

LOOK_S = 1.0
"""The longest between two looks: what vanished is believed after a while, though nothing changes then."""
GATHER_S = 0.05
STATS_S = 0.5
"""The least between two sums."""
BUSY = 10.0
"""A look is followed by a pause of so many times what it took: a region of thousands costs a tenth of a core."""


class RegionLeader:
    """The duty of a region's leader.

    `routing` says what holds now, `known` which view the gateway itself goes by: where a store has lost the view,
    epochs count on from there.
    """

    def __init__(
        self,
        store: Store,
        session: Session,
        keys: Keys,
        name: str,
        *,
        routing: Callable[[], RoutingConfig],
        known: Callable[[], ViewRecord | None],
        clock: Clock,
        dice: random.Random,
    ) -> None:
        self._store, self._session, self._keys, self._region = store, session, keys, name
        self._routing, self._known = routing, known
        self._clock, self._dice = clock, dice
        self._log = log.logger("region")
        self._highest = 0
        """The highest epoch that was ever seen here: a store that goes back must not have it twice."""
        self._weights: dict[str, float] = {}
        self._awaited: list[CollectorRecord] = []
        self._patient_until_s = 0.0
        self._wrong: list[str] = []

    async def lead(self, leadership: Leadership) -> None:
        """Until cancelled. StoreError when the store does not take what is written."""
        wake = Wake(GATHER_S)
        prefixes = (
            self._keys.view(self._region),
            self._keys.collectors(self._region),
            self._keys.gateways(self._region),
        )
        view, collectors, gateways = mirrors = [self._mirror(prefix, wake) for prefix in prefixes]
        try:
            for mirror in mirrors:
                await mirror.ready()
            here = Roster(CollectorRecord, collectors, clock=self._clock)
            speakers = Roster(GatewayRecord, gateways, clock=self._clock)
            self._take_over(self._former(self._stored(view)), here.records())
            try:
                await self._serve(view, here, speakers, wake, leadership)
            finally:
                here.close()
                speakers.close()
        finally:
            for mirror in mirrors:
                await mirror.stop()

    def _mirror(self, prefix: str, wake: Wake) -> Mirror:
        mirror = Mirror(self._store, prefix, clock=self._clock, dice=self._dice)
        mirror.subscribe(wake.up)
        mirror.start()
        return mirror

    def _take_over(self, former: ViewRecord | None, here: list[CollectorRecord]) -> None:
        """Goes on from the view that there is."""
        weights = {one.service.id: one.weight for one in here}
        members = former.members if former else ()
        self._weights = {one.id: one.weight / weights[one.id] for one in members if weights.get(one.id)}
        self._awaited = region.awaited(former, here)
        # Who lives registers again within a ttl. After an outage, which many missing tell of, it may take longer.
        patience_s = GRACE_S if is_storm(len(self._awaited), len(members)) else self._session.ttl_s
        self._patient_until_s = self._clock.monotonic_s() + patience_s
        if self._awaited:
            self._log.warning(
                "members of the view are not registered", missed=len(self._awaited), patience_s=patience_s
            )

    async def _serve(
        self,
        view: Mirror,
        here: Roster[CollectorRecord],
        speakers: Roster[GatewayRecord],
        wake: Wake,
        leadership: Leadership,
    ) -> None:
        written: StatsRecord | None = None
        stats_due_s = 0.0
        while True:
            began_s = self._clock.monotonic_s()
            members, gateways = self._members(here.records()), speakers.records()
            down = region.doubts(members, gateways)
            fresh = self._view(view, members, gateways, down, leadership.token)
            pause_s = BUSY * (self._clock.monotonic_s() - began_s)
            try:
                if fresh is not None:
                    await self._write(fresh, view, leadership)
                if (now_s := self._clock.monotonic_s()) >= stats_due_s:
                    stats = region.stats_of(self._region, members, gateways, down, token=leadership.token)
                    stats_due_s = now_s + max(STATS_S, BUSY * (self._clock.monotonic_s() - now_s))
                    if written is None or region.differs(stats, written):
                        await self._tell(stats, leadership)
                        written = stats
            except StoreUnavailable as error:  # the office ends with the lease, not before
                self._log.warning("the store does not take what the region is to know", reason=error.message)
            await wake.wait(LOOK_S)
            await asyncio.sleep(max(pause_s - GATHER_S, 0))

    def _stored(self, mirror: Mirror) -> ViewRecord | None:
        entry = mirror.entries.get(self._keys.view(self._region))
        return read(ViewRecord, entry) if entry else None

    def _former(self, stored: ViewRecord | None) -> ViewRecord | None:
        """The view in force: the store's, or where that has none the one that this gateway goes by."""
        known = self._known()
        self._highest = max(self._highest, *(one.epoch for one in (known, stored) if one), 0)
        return stored or known

    def _members(self, here: list[CollectorRecord]) -> list[CollectorRecord]:
        """Those that are registered, and for a while those that are expected back."""
        if self._clock.monotonic_s() >= self._patient_until_s:
            self._awaited = []
        back = {one.service.id for one in here} | {one.service.address for one in here}
        self._awaited = [one for one in self._awaited if not {one.service.id, one.service.address} & back]
        members, wrong = region.distinct([*here, *self._awaited])
        if wrong != self._wrong:
            self._wrong = wrong
            for what in wrong:
                self._log.warning("a collector is left out of the view", reason=what)
        return members

    def _view(
        self,
        mirror: Mirror,
        members: list[CollectorRecord],
        gateways: list[GatewayRecord],
        down: dict[str, str],
        token: int,
    ) -> ViewRecord | None:
        """What is to be written: the next one where something has changed, the former one where the store has none."""
        stored = self._stored(mirror)
        former = self._former(stored)
        if former is None and not members:
            return None
        routing = self._routing()
        weighed = [one for one in members if one not in self._awaited]
        self._weights = region.factors(weighed, gateways, self._weights, routing)
        fresh = region.view_of(
            self._region,
            members,
            down,
            self._weights,
            former,
            highest=self._highest,
            effective_in_s=routing.effective_in_s,
            token=token,
        )
        return fresh or (former if stored is None else None)

    async def _write(self, view: ViewRecord, mirror: Mirror, leadership: Leadership) -> None:
        key = self._keys.view(self._region)
        entry = mirror.entries.get(key)
        expected = entry.modified if entry else ABSENT
        done = await self._store.compare_and_set(key, msgspec.json.encode(view), expected, fence=leadership.fence)
        if done is not None:  # else the mirror is behind: it wakes us when it has caught up
            self._highest = max(self._highest, view.epoch)
            self._log.info("a view is written", region=self._region, epoch=view.epoch, down=list(view.down))

    async def _tell(self, stats: StatsRecord, leadership: Leadership) -> None:
        key = f"{self._keys.stats}{self._region}"
        await self._store.put(key, region.fitting(stats), lease=self._session.lease, fence=leadership.fence)
