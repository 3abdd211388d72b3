"""The processes of a swarm: many simulated gateways, or the leaders of their regions."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from benchmarks.fleet.child import Line
from benchmarks.fleet.senses import SimulatedSenses, collector, known_as
from sidecar.clock import SystemClock
from sidecar.config.schema import CoordinationConfig, RoutingConfig
from sidecar.control.announcer import Announcer
from sidecar.control.coordinator import Coordinator
from sidecar.control.guidance import GLOBAL, Guidance
from sidecar.control.records import Blob, ConfigState
from sidecar.coord.etcd import EtcdStore
from sidecar.coord.keys import Keys
from sidecar.coord.mirror import Mirror
from sidecar.coord.replica import Change
from sidecar.coord.session import Session
from sidecar.sampling.plan import ServiceLoad
from tests.coord.waiting import until

AT_ONCE = 8
"""Gateways of a process that are starting: more of them only wait longer for this machine."""
SERVICES = 3
COLLECTORS = 10
READY_S = 1800.0


class Swarm(NamedTuple):
    """What all processes know."""

    coordination: CoordinationConfig
    regions: int
    per_connection: int
    change_every_s: float


class Seen(msgspec.Struct, frozen=True):
    """What some gateways have seen since the start."""

    gateways: int = 0
    configs: int = 0
    """Changes of the configuration after the first one."""
    losses: int = 0
    relists: int = 0
    resumes: int = 0
    behind: int = 0

    @classmethod
    def total(cls, parts: Iterable[Self]) -> Self:
        parts = list(parts)
        return cls(**{name: sum(getattr(part, name) for part in parts) for name in cls.__struct_fields__})


class SwarmGateway:
    """One of them, on a store that it shares with others."""

    def __init__(self, store: EtcdStore, swarm: Swarm, number: int) -> None:
        clock, self._dice = SystemClock(), random.Random(number)
        keys = Keys(swarm.coordination.prefix)
        self.region = number % swarm.regions
        region = region_of(self.region)
        self.revision, self.at_ns, self.configs = 0, 0, -1
        self.senses = SimulatedSenses()
        self.session = Session(store, swarm.coordination.lease_ttl_s, clock=clock, dice=self._dice)
        self.announcer = Announcer(
            self.session,
            keys,
            known_as(f"gw-{number}", region),
            self.senses,
            every_s=swarm.coordination.announce_every_s,
            dice=self._dice,
        )
        self.config, self.target, self.view = (
            Mirror(store, prefix, clock=clock, dice=self._dice)
            for prefix in (keys.config, keys.sampling_target, keys.view(region))
        )
        self.config.subscribe(self._configured)
        self._change_every_s = swarm.change_every_s
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def mirrors(self) -> tuple[Mirror, ...]:
        return self.config, self.target, self.view

    async def start(self) -> None:
        """Returns once it is registered and watches."""
        self._change()
        self.session.start()
        for mirror in self.mirrors:
            mirror.start()
        await self.session.ready()
        for mirror in self.mirrors:
            await mirror.ready()
        self._tasks += [asyncio.create_task(self.announcer.run()), asyncio.create_task(self._live())]
        await until(lambda: self.announcer.announced, "it is announced", READY_S)

    async def stop(self) -> None:
        """Without a farewell: etcd goes, too."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(mirror.stop() for mirror in self.mirrors))

    def seen(self, current: tuple[bytes, bytes]) -> Seen:
        """current: target and view as the store has them."""
        held = tuple(next((e.value for e in m.entries.values()), b"") for m in (self.target, self.view))
        return Seen(
            gateways=1,
            configs=self.configs,
            losses=self.session.losses,
            relists=sum(mirror.relists for mirror in self.mirrors),
            resumes=sum(mirror.resumes for mirror in self.mirrors),
            behind=held != current,
        )

    async def _live(self) -> None:
        """Load changes now and then, by more than what is not worth an announcement."""
        while True:
            await asyncio.sleep(self._dice.expovariate(1 / self._change_every_s))
            self._change()

    def _change(self) -> None:
        loads = (self._dice.uniform(100, 1000) for _ in range(SERVICES))
        self.senses.seen = {f"service-{i}": ServiceLoad(received=load, kept=load / 10) for i, load in enumerate(loads)}

    def _configured(self, change: Change) -> None:
        for entry in change.put:
            version = msgspec.json.decode(entry.value, type=Blob).version
            self.revision, self.at_ns = entry.modified, time.monotonic_ns()
            self.configs += 1
            if answered(version):
                state = ConfigState(applied_version=version, applied_revision=entry.modified)
                self.announcer.applied(Guidance(states={GLOBAL: state}))


def answered(version: int) -> bool:
    """Whether gateways tell that they have applied it, as those of the product do; of every second one they do not."""
    return version % 2 == 1


def region_of(number: int) -> str:
    return f"region-{number}"


async def run_swarm(line: Line, swarm: Swarm, numbers: Sequence[int]) -> None:
    """A process with the gateways of these numbers."""
    shares = [numbers[first : first + swarm.per_connection] for first in range(0, len(numbers), swarm.per_connection)]
    stores = [EtcdStore(swarm.coordination) for _ in shares]
    gateways = [
        SwarmGateway(store, swarm, number) for store, share in zip(stores, shares, strict=True) for number in share
    ]
    gate = asyncio.Semaphore(AT_ONCE)

    async def begin(gateway: SwarmGateway) -> None:
        async with gate:
            await gateway.start()

    await asyncio.gather(*map(begin, gateways))
    line.say("registered")
    while (order := await line.order())[0] != "end":
        if order[0] == "reached":
            revision = order[1]
            await until(lambda: all(one.revision >= revision for one in gateways), "all have it", READY_S)  # noqa: B023
            line.say("reached", max(gateway.at_ns for gateway in gateways))
        else:
            line.say("seen", await _seen(stores[0], swarm, gateways))
    await asyncio.gather(*(gateway.stop() for gateway in gateways))


async def _seen(store: EtcdStore, swarm: Swarm, gateways: Sequence[SwarmGateway]) -> Seen:
    keys = Keys(swarm.coordination.prefix)
    target = await store.get(keys.sampling_target)
    views = [await store.get(keys.view(region_of(number))) for number in range(swarm.regions)]
    values = [(target.value if target else b"", view.value if view else b"") for view in views]
    return Seen.total(gateway.seen(values[gateway.region]) for gateway in gateways)


async def run_leaders(line: Line, swarm: Swarm, regions: Sequence[int]) -> None:
    """A process with one whole Coordinator in each of these regions, and collectors there."""
    with tempfile.TemporaryDirectory(prefix="spangate-swarm-") as folder:
        leaders = [_leader(swarm, region_of(number), Path(folder)) for number in regions]
        await asyncio.gather(*(leader.start(60.0) for leader in leaders))
        for number, leader in zip(regions, leaders, strict=True):
            for which in range(COLLECTORS):
                record = collector(number * COLLECTORS + which, region_of(number))
                key = f"{leader.keys.collectors(region_of(number))}{record.service.id}"
                await leader.session.put(key, msgspec.json.encode(record))
        await until(lambda: all(map(_in_office, leaders)), "all lead", READY_S)
        line.say("leading")
        while (await line.order())[0] != "end":
            line.say("seen", Seen(gateways=len(leaders), losses=sum(leader.session.losses for leader in leaders)))


def _in_office(leader: Coordinator) -> bool:
    return bool(leader.leads and leader.guidance.views and leader.guidance.led)


def _leader(swarm: Swarm, region: str, folder: Path) -> Coordinator:
    clock, dice = SystemClock(), random.Random(region)
    leader = Coordinator(
        EtcdStore(swarm.coordination),
        swarm.coordination,
        known_as(f"leader-{region}", region),
        SimulatedSenses(),
        routing=RoutingConfig,
        sampling=lambda: (leader.guidance.config.everywhere, 1.0),
        check=lambda _: None,
        state_dir=folder / region,
        clock=clock,
        wall=clock,
        dice=dice,
    )
    return leader
