"""What the leader of the fleet does: from the sums of all regions to the rates that everybody samples by.

The target hangs on the leader's lease: while it is there somebody leads. What the controllers remember is written
without one, so that a successor goes on where this one stops.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import msgspec

from sidecar.clock import Clock, WallClock
from sidecar.config.fleet import GlobalConfig
from sidecar.control import region
from sidecar.control.records import StatsRecord, TargetRecord, read, read_all
from sidecar.control.wake import Wake
from sidecar.coord.election import Leadership
from sidecar.coord.keys import Keys
from sidecar.coord.mirror import Mirror
from sidecar.coord.session import Session
from sidecar.coord.store import ABSENT, FenceLost, Store, StoreError, StoreUnavailable
from sidecar.sampling.plan import ServiceRate
from sidecar.sampling.solve import ControllerState, Solution, solve
from sidecar.telemetry import log

SOLVE_S = 1.0
"""Between two solutions while nothing changes; controllers need time to pass."""
REMEMBER_S = 10.0
"""How often the controllers' state is written while it changes."""
HOLD_S = 10.0
"""How long the sums of a region count that are no longer there."""
WORTH_RATIO = 0.005
"""The change of a rate that is worth telling everybody."""


class Memory(msgspec.Struct, frozen=True):
    """`sampling/state`: what a successor goes on from."""

    state: ControllerState = msgspec.field(default_factory=ControllerState)
    target: TargetRecord | None = None


class GlobalLeader:
    """The duty of the fleet's leader. `config` and `default_rate` say what holds now."""

    def __init__(
        self,
        store: Store,
        session: Session,
        keys: Keys,
        config: Callable[[], tuple[GlobalConfig, float]],
        *,
        clock: Clock,
        wall: WallClock,
        dice: random.Random,
    ) -> None:
        self._store, self._session, self._keys = store, session, keys
        self._config = config
        self._clock, self._wall, self._dice = clock, wall, dice
        self._log = log.logger("sampling")
        self._state = ControllerState()
        self._target: TargetRecord | None = None
        """As written last, by this leader or the one before it."""
        self._modified: int | None = None
        """The revision of that in the store; None while an answer is missing, and it may be there or not."""
        self._heard: dict[str, tuple[float, StatsRecord]] = {}
        """The sums of each region, and when they were last there."""
        self._unkept = ""
        """Why the state could not be written last."""

    async def lead(self, leadership: Leadership) -> None:
        """Until cancelled. StoreError when the store does not take what is written."""
        memory = await self._recall()
        self._state, self._heard = memory.state, {}
        await self._take_over(leadership, memory)
        mirror = Mirror(self._store, self._keys.stats, clock=self._clock, dice=self._dice)
        wake = Wake()
        mirror.subscribe(wake.up)
        mirror.start()
        try:
            await mirror.ready()
            await self._serve(mirror, wake, leadership)
        finally:
            await mirror.stop()
            if leadership.valid():  # it resigns: a successor goes on from just here
                await self._remember(leadership, self._target)

    async def _serve(self, mirror: Mirror, wake: Wake, leadership: Leadership) -> None:
        solved_s = remembered_s = self._clock.monotonic_s()
        while True:
            now_s = self._clock.monotonic_s()
            sums = self._sums(read_all(StatsRecord, mirror.entries.values()), now_s)
            solution = await self._solve(sums, now_s - solved_s)
            solved_s, self._state = now_s, solution.state
            try:
                former = await self._in_force(leadership)
                fresh = _target(solution, sums, leadership.token, former.sequence + 1)
                worth = not former.led or _worth(fresh, former)
                if worth or now_s - remembered_s >= REMEMBER_S:
                    remembered_s = now_s
                    await self._remember(leadership, fresh)  # first: what was told hangs on the lease and dies with it
                if worth:
                    await self._write(fresh, leadership)
            except StoreUnavailable as error:  # the office ends with the lease, not before
                self._log.warning("the store does not take the sampling target", reason=error.message)
            await wake.wait(SOLVE_S)

    async def _solve(self, sums: list[StatsRecord], elapsed_s: float) -> Solution:
        config, default_rate = self._config()
        return await asyncio.to_thread(  # with hundreds of services it takes a tenth of a second
            solve,
            config,
            default_rate,
            region.added(one.observed for one in sums),
            self._state,
            now_unix_s=self._wall.unix_s(),
            elapsed_s=elapsed_s,
        )

    def _sums(self, there: list[StatsRecord], now_s: float) -> list[StatsRecord]:
        """Those in the store, and those that have just gone: a region between two leaders has its load all the same."""
        self._heard |= {one.region: (now_s, one) for one in there}
        self._heard = {name: held for name, held in self._heard.items() if now_s - held[0] < HOLD_S}
        return [one for _, one in self._heard.values()]

    async def _recall(self) -> Memory:
        entry = await self._store.get(self._keys.sampling_state)
        return (read(Memory, entry) if entry else None) or Memory()

    async def _take_over(self, leadership: Leadership, memory: Memory) -> None:
        """Writes the token first, with what was in force: only then does this gateway lead."""
        entry = await self._store.get(self._keys.sampling_target)
        former = (read(TargetRecord, entry) if entry else None) or memory.target
        if former is not None and former.token > leadership.token:
            raise FenceLost("a later leader has written the sampling target already")
        self._modified = entry.modified if entry else ABSENT
        base = former or TargetRecord(token=leadership.token)
        await self._write(msgspec.structs.replace(base, token=leadership.token, sequence=0, led=False), leadership)

    async def _in_force(self, leadership: Leadership) -> TargetRecord:
        """The target as this leader wrote it last, looked up where the answer got lost."""
        if self._target is None or self._modified is None:
            entry = await self._store.get(self._keys.sampling_target)
            record = read(TargetRecord, entry) if entry else None
            if entry is None or record is None or record.token != leadership.token:
                raise FenceLost("the sampling target is no longer this leader's")
            self._target, self._modified = record, entry.modified
        return self._target

    async def _write(self, record: TargetRecord, leadership: Leadership) -> None:
        expected, self._modified = self._modified, None
        done = await self._store.compare_and_set(
            self._keys.sampling_target,
            msgspec.json.encode(record),
            ABSENT if expected is None else expected,
            lease=self._session.lease,
            fence=leadership.fence,
        )
        if done is None:
            raise FenceLost("somebody else has written the sampling target")
        self._target, self._modified = record, done.modified
        self._log.debug("a sampling target is written", rate=record.rate, services=len(record.services))

    async def _remember(self, leadership: Leadership, target: TargetRecord | None) -> None:
        body = msgspec.json.encode(Memory(self._state, target))
        try:
            await self._store.put(self._keys.sampling_state, body, fence=leadership.fence)
        except StoreError as error:  # a successor will have to learn it; what is told goes on
            if self._unkept != error.message:  # it is tried again every second or so
                self._log.warning("what the controllers know is not kept", reason=error.message)
            self._unkept = error.message
        else:
            self._unkept = ""


def _target(solution: Solution, sums: list[StatsRecord], token: int, sequence: int) -> TargetRecord:
    return TargetRecord(
        token=token,
        sequence=sequence,
        led=True,
        rate=solution.rate,
        services=solution.services,
        fleet_received=sum(one.received for one in sums),
        fleet_kept=sum(one.kept for one in sums),
        gateways=sum(one.gateways for one in sums),
        budget_spent=solution.budget_spent,
    )


def _worth(one: TargetRecord, other: TargetRecord) -> bool:
    """Whether everybody should be told: a rate, or the sum that shares are taken of, is another."""
    return (
        _rate_differs(one.rate, other.rate)
        or one.services.keys() != other.services.keys()
        or any(_service_differs(rate, other.services[name]) for name, rate in one.services.items())
        or one.gateways != other.gateways
        or region.off(one.fleet_received, other.fleet_received, 0.05)
    )


def _service_differs(one: ServiceRate, other: ServiceRate) -> bool:
    return (one.priority, one.cause) != (other.priority, other.cause) or _rate_differs(one.rate, other.rate)


def _rate_differs(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is not other
    return region.off(one, other, WORTH_RATIO)
