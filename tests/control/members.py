"""Gateways of a fleet without data planes: a Coordinator each, on a connection of its own to one store."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from sidecar.clock import Clock
from sidecar.config.fleet import FleetConfig
from sidecar.config.overlay import settled
from sidecar.config.schema import CoordinationConfig, GatewayConfig, RoutingConfig
from sidecar.control.coordinator import Coordinator
from sidecar.control.guidance import Guidance
from sidecar.control.records import Blob, CollectorRecord, ServiceInfo
from sidecar.coord.keys import Keys
from sidecar.coord.memory import MemoryStore
from sidecar.coord.store import Store
from sidecar.model import Endpoint, Health, MemberSource
from sidecar.sampling.plan import Observed
from sidecar.snapshot import Load
from tests.control.records import REGION, address
from tests.coord.flaky import FlakyStore

R = TypeVar("R", bound=msgspec.Struct)
KEYS = Keys()
TTL_S = 6.0
EVERY_S = 2.0
QUICK = CoordinationConfig(lease_ttl_s=TTL_S, announce_every_s=EVERY_S)


class Noon:
    """The time of day stands still."""

    def unix_s(self) -> float:
        return 43_200.0


class Connection(FlakyStore):
    """One gateway's own: its end is not the end of the store that it leads to."""

    async def close(self) -> None:
        self.cut()


class FakeSenses:
    """Says what a test has put there."""

    def __init__(self) -> None:
        self.own_load = Load()
        self.seen: Observed = {}
        self.beside: CollectorRecord | None = None
        self.loads: dict[str, Load] = {}
        self.lost: dict[str, str] = {}

    def load(self) -> Load:
        return self.own_load

    def observed(self) -> Observed:
        return self.seen

    def collector(self) -> CollectorRecord | None:
        return self.beside

    def collector_loads(self) -> Mapping[str, Load]:
        return dict(self.loads)

    def suspects(self) -> Mapping[str, str]:
        return dict(self.lost)


class Member:
    """One gateway. What it is told it works by at once."""

    def __init__(
        self,
        shared: Store,
        name: str,
        folder: Path,
        clock: Clock,
        *,
        region: str = REGION,
        collector: bool = True,
        own: GatewayConfig | None = None,
        config: CoordinationConfig = QUICK,
    ) -> None:
        self.name, self.region = name, region
        self.own = own or GatewayConfig(region=region, routing=RoutingConfig(members=MemberSource.REGISTRY))
        self.store = Connection(shared)
        self.senses = FakeSenses()
        self.told: list[Guidance] = []
        if collector:
            who = ServiceInfo(id=f"c-{name}", name=name, address=address(name), region=region, health=Health.HEALTHY)
            self.senses.beside = CollectorRecord(service=who, by=name)
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
        self.coordinator = Coordinator(
            self.store,
            config,
            ServiceInfo(id=name, name=name, address=Endpoint(f"{name}.gw.example", 4317), region=region),
            self.senses,
            routing=lambda: self.effective.routing,
            sampling=lambda: (self.coordinator.guidance.config.everywhere, self.own.sampling.rate),
            check=self._check,
            state_dir=folder / name,
            clock=clock,
            wall=Noon(),
            dice=random.Random(seed),
        )
        self.coordinator.subscribe(self._guided)

    @property
    def guidance(self) -> Guidance:
        return self.coordinator.guidance

    @property
    def effective(self) -> GatewayConfig:
        return settled(self.own, self.guidance.config, self.region).config

    @property
    def leads(self) -> tuple[str, ...]:
        return self.coordinator.leads

    async def start(self) -> Member:
        await self.coordinator.start(2.0)
        return self

    async def leave(self) -> None:
        """As a gateway that is told to stop."""
        await self.coordinator.leave()
        await self.coordinator.stop()

    async def crash(self) -> None:
        """Nobody is told anything."""
        self.store.cut()
        await self.coordinator.stop()

    def _check(self, fleet: FleetConfig) -> None:
        settled(self.own, fleet, self.region)

    def _guided(self, guidance: Guidance) -> None:
        self.told.append(guidance)
        self.coordinator.applied(guidance)


class Hall:
    """A store, and the members that are on it."""

    def __init__(self, shared: Store, folder: Path, clock: Clock) -> None:
        self.shared, self.folder, self.clock = shared, folder, clock
        self.members: list[Member] = []

    async def join(self, *names: str, **options: object) -> list[Member]:
        """Gateways of these names, one after the other: so the first leads."""
        found = []
        for name in names:
            member = Member(self.shared, name, self.folder, self.clock, **options)  # type: ignore[arg-type]
            self.members.append(member)
            found.append(await member.start())
        return found

    def wipe(self) -> MemoryStore:
        """The store has lost everything, and is there again."""
        self.shared = fresh = MemoryStore(clock=self.clock)
        for member in self.members:
            member.store.inner = fresh
            member.store.drop_watches()
        return fresh

    async def read(self, key: str, kind: type[R]) -> R | None:
        entry = await self.shared.get(key)
        return msgspec.json.decode(entry.value, type=kind) if entry else None

    async def reads(self, key: str, kind: type[R], holds: Callable[[R], object], what: str) -> R:
        """What the store has there, once that holds."""
        for _ in range(1000):
            found = await self.read(key, kind)
            if found is not None and holds(found):
                return found
            await asyncio.sleep(0.1)
        raise AssertionError(f"waited in vain: {what}")


@asynccontextmanager
async def hall(shared: Store, folder: Path, clock: Clock) -> AsyncIterator[Hall]:
    """All who are still there at the end leave."""
    one = Hall(shared, folder, clock)
    try:
        yield one
    finally:
        await asyncio.gather(*(member.leave() for member in one.members))


async def seen(holds: Callable[[], object], what: str, limit_s: float = 100.0) -> None:
    """Returns once it holds; by the clock of the loop."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + limit_s
    while not holds():
        assert loop.time() < end_s, f"waited in vain: {what}"
        await asyncio.sleep(0.05)


def blob(body: str, version: int = 1) -> bytes:
    """A configuration as the desk writes it."""
    return msgspec.json.encode(
        Blob(version=version, sha256=hashlib.sha256(body.encode()).hexdigest(), body=body, author="test")
    )


def inline_threads() -> Callable[..., object]:
    """For `asyncio.to_thread` in virtual time, which does not wait for threads."""

    async def at_once(act: Callable[..., object], /, *args: object, **named: object) -> object:
        return act(*args, **named)

    return at_once
