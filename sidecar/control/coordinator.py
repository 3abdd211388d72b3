"""The fleet's part of one gateway: follows what it is told, says how it does, and leads where it is elected.

    store --mirrors--> follower, views, target --> Guidance --> whoever subscribed (the supervisor)
    senses --> announcer --session (lease)--> store
    elections --> the region's leader --> and, of those, the fleet's leader

Without the store everything stays as it was: the last guidance, from memory or from disk.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path

from sidecar.clock import Clock, WallClock
from sidecar.config.fleet import GlobalConfig
from sidecar.config.schema import CoordinationConfig, RoutingConfig
from sidecar.control import last_good
from sidecar.control.announcer import Announcer
from sidecar.control.follower import Check, ConfigFollower
from sidecar.control.global_leader import GlobalLeader
from sidecar.control.guidance import Guidance
from sidecar.control.namesake import Namesake
from sidecar.control.office import Office
from sidecar.control.records import ServiceInfo, TargetRecord, read
from sidecar.control.region_leader import RegionLeader
from sidecar.control.senses import Senses
from sidecar.control.views import Views
from sidecar.coord.backoff import Backoff
from sidecar.coord.election import Election, Leadership
from sidecar.coord.keys import Keys
from sidecar.coord.mirror import Mirror, MirrorState
from sidecar.coord.pulse import Pulse
from sidecar.coord.replica import Change
from sidecar.coord.session import Session
from sidecar.coord.store import Store
from sidecar.telemetry import log

LOOK_S = 0.5
"""How often it is asked whether the store is there at all."""
LEAVE_S = 1.0
"""How long a store may keep a gateway that wants to end: to say good-bye, to resign, to deregister; each."""


class Coordinator:
    """One gateway's membership in a fleet.

    `routing` and `sampling` say what holds now, the fleet's word included: leaders decide by it. `check` refuses a
    configuration that does not go together with the gateway's own.
    """

    def __init__(
        self,
        store: Store,
        config: CoordinationConfig,
        who: ServiceInfo,
        senses: Senses,
        *,
        routing: Callable[[], RoutingConfig],
        sampling: Callable[[], tuple[GlobalConfig, float]],
        check: Check,
        state_dir: Path,
        clock: Clock,
        wall: WallClock,
        dice: random.Random,
    ) -> None:
        self.guidance = Guidance()
        self.keys = Keys(config.prefix)
        self._store, self._who, self._senses = store, who, senses
        self._clock, self._dice = clock, dice
        self._state_file = state_dir / "last-good.json"
        self.saver = last_good.Saver(self._state_file, self._last_good, clock=clock)
        self._log = log.logger("fleet")
        self._watchers: list[Callable[[Guidance], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.session = Session(store, config.lease_ttl_s, clock=clock, dice=dice)
        self.announcer = Announcer(self.session, self.keys, who, senses, every_s=config.announce_every_s, dice=dice)
        self.namesake = Namesake(store, self.session, f"{self.keys.gateways(who.region)}{who.id}", dice=dice)
        self.follower = ConfigFollower(self.keys, who.region, check)
        self.views = Views(self.keys, self._mirror, self._changed)
        self.config_mirror = self._mirror(self.keys.config)
        self.target_mirror = self._mirror(self.keys.sampling_target)
        self.config_mirror.subscribe(self._take_config)
        self.target_mirror.subscribe(self._take_target)
        self._target: TargetRecord | None = None
        self._moved = Pulse()
        self._led = False
        regional = RegionLeader(
            store,
            self.session,
            self.keys,
            who.region,
            routing=routing,
            known=lambda: self.views[who.region],
            clock=clock,
            dice=dice,
        )
        self._fleet = GlobalLeader(store, self.session, self.keys, sampling, clock=clock, wall=wall, dice=dice)
        self._fleet_office: Office | None = None
        self.region_office = self._office(
            f"regions/{who.region}", self.keys.region_election(who.region), partial(self._lead_region, regional)
        )

    # ---- for the supervisor

    @property
    def leads(self) -> tuple[str, ...]:
        """The offices that this gateway holds now."""
        offices = (self._fleet_office, self.region_office)
        return tuple(office.name for office in offices if office is not None and office.leading)

    def subscribe(self, changed: Callable[[Guidance], None]) -> None:
        """Call `changed` with every new guidance, in the event loop."""
        self._watchers.append(changed)

    async def start(self, at_most_s: float) -> None:
        """Joins the fleet. Returns when the store has been heard, or after `at_most_s` with what is on disk."""
        self._recall()
        self.config_mirror.start()
        self.target_mirror.start()
        self.views.use(self._regions())
        self.session.start()
        try:
            async with asyncio.timeout(at_most_s):
                await self._heard()
        except TimeoutError:
            self._log.warning("the store does not answer: the gateway starts with what it last knew", after_s=at_most_s)
        self._task(self.announcer.run())
        self._task(self.namesake.run())
        self._task(self.saver.run())
        self._task(self._overhear())
        self.region_office.start()

    def applied(self, guidance: Guidance) -> None:
        """The gateway works by this from now on."""
        self.announcer.applied(guidance)

    def reconsider(self) -> None:
        """The gateway's own configuration is another: what did not go together with it may do so now."""
        if self.follower.reconsider():
            self._configured()

    async def leave(self) -> None:
        """Deregisters and resigns: before the drain, so that nobody is sent here any more."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._in_time(self._say_goodbye())
        await self._in_time(self.region_office.stop())
        await self._in_time(self.session.close())

    async def stop(self) -> None:
        """Ends everything, in a gateway that never left too."""
        await self.leave()
        await self.config_mirror.stop()
        await self.target_mirror.stop()
        await self.saver.flush()
        await self.views.stop()
        await self._store.close()

    async def _in_time(self, farewell: Coroutine[None, None, None]) -> None:
        try:
            async with asyncio.timeout(LEAVE_S):
                await farewell
        except TimeoutError:
            self._log.warning("a farewell took too long: what was not told has to expire", after_s=LEAVE_S)

    async def _say_goodbye(self) -> None:
        """Returns when the view of its region has no place for its collector any more.

        The leader of the region itself does not go before it has written that: a successor would wait for a ttl.
        """
        beside = self._senses.collector()
        if not await self.session.farewell() or beside is None:
            return
        while True:
            view = self.views[self._who.region]
            others = {one.id for one in view.members} - {beside.service.id} if view else set()
            if not view or not others or len(others) == len(view.members):
                return
            await self._moved.wait()

    # ---- what is heard

    def _take_config(self, change: Change) -> None:
        if self.follower.take(change.put):
            self._configured()
        if change.deleted:
            self._log.warning(
                "the store has lost a configuration, it stays in force", keys=[k.key for k in change.deleted]
            )

    def _configured(self) -> None:
        self.views.use(self._regions())
        self._changed()

    def _take_target(self, change: Change) -> None:
        """The store has them in the order of their leaders, who are fenced: its word counts, whatever the token."""
        for entry in change.put:
            target = read(TargetRecord, entry)
            if target is not None:
                self._target, self._led = target, target.led
                self._changed()
        if change.deleted and not change.put:  # it hung on the leader's lease
            self._led = False
            self._changed()

    def _is_led(self) -> bool:
        """Whom nobody hears leads nobody."""
        return self._led and self.target_mirror.state not in {MirrorState.AWAY, MirrorState.DENIED}

    async def _overhear(self) -> None:
        """Notices that the store has gone, and with it the leader, or has come back."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._is_led() != self.guidance.led:
                self._changed()

    def _changed(self) -> None:
        self.guidance = Guidance(
            config=self.follower.config,
            states=dict(self.follower.states),
            target=self._target,
            led=self._is_led(),
            views=self.views.all,
        )
        self.saver.changed()
        self._moved.send()
        for changed in self._watchers:
            changed(self.guidance)

    def _regions(self) -> set[str]:
        return {self._who.region, *(rule.target_region for rule in self.follower.config.everywhere.routing_rules)}

    async def _heard(self) -> None:
        await self.config_mirror.ready()
        await self.target_mirror.ready()
        await self.views.ready()
        await self.namesake.meet()

    # ---- the last good

    def _recall(self) -> None:
        try:
            good = last_good.load(self._state_file)
        except last_good.LastGoodUnusable as error:
            self._log.error("the last good configuration cannot be used", reason=error.message)
            return
        if good is None:
            return
        self.follower.recall(good.blobs)
        self.views.recall(good.views)
        self._target = good.target
        self._changed()

    def _last_good(self) -> last_good.LastGood:
        return last_good.LastGood(
            blobs=dict(self.follower.blobs), views=self.guidance.views, target=self.guidance.target
        )

    # ---- leading

    async def _lead_region(self, regional: RegionLeader, leadership: Leadership) -> None:
        """Leaders of regions are the candidates for the fleet: few, whatever the number of gateways."""
        office = self._fleet_office = self._office("global", self.keys.global_election, self._fleet.lead)
        office.start()
        try:
            await regional.lead(leadership)
        finally:
            await office.stop()
            self._fleet_office = None

    def _office(self, name: str, prefix: str, duty: Callable[[Leadership], Coroutine[None, None, None]]) -> Office:
        election = Election(self._store, self.session, prefix, self._who.id.encode(), dice=self._dice)
        return Office(name, election, duty, backoff=Backoff(self._dice))

    # ---- parts

    def _mirror(self, prefix: str) -> Mirror:
        return Mirror(self._store, prefix, clock=self._clock, dice=self._dice)

    def _task(self, what: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "a task of the fleet's part has ended", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)
