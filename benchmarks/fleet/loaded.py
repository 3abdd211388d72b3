"""A fleet of gateways that receive simulated load and keep of it what their plan says; everything else is real."""

from __future__ import annotations

import asyncio
import hashlib
import random
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from math import sqrt
from pathlib import Path

import msgspec

from benchmarks.fleet.ground import etcd
from benchmarks.fleet.senses import SimulatedSenses, known_as
from sidecar.clock import SystemClock, WallClock
from sidecar.config.schema import CoordinationConfig, GatewayConfig
from sidecar.control.coordinator import Coordinator
from sidecar.control.records import Blob
from sidecar.control.settle import settle
from sidecar.coord.etcd import EtcdStore
from sidecar.coord.keys import Keys
from sidecar.routing.view import View
from sidecar.sampling.plan import SamplingPlan, ServiceLoad

START_S = 30.0
SECOND_S = 1.0
REGIONS = ("east", "west")

Loads = Mapping[str, float]
"""Spans per second by service."""


class LoadedGateway:
    """Lives second by second: what arrives is a Poisson process, what is kept is drawn span by span (both normal)."""

    def __init__(
        self, coordination: CoordinationConfig, identity: str, region: str, folder: Path, *, wall: WallClock, seed: int
    ) -> None:
        self.load: Loads = {}
        self.received = self.kept = 0.0
        """In the last second."""
        self._dice = random.Random(seed)
        self._senses = SimulatedSenses()
        self._config = GatewayConfig(id=identity, region=region, coordination=coordination)
        self.store = EtcdStore(coordination)
        self.coordinator = Coordinator(
            self.store,
            coordination,
            known_as(identity, region),
            self._senses,
            routing=lambda: self._config.routing,
            sampling=lambda: (self.coordinator.guidance.config.everywhere, self._config.sampling.rate),
            check=lambda _: None,
            state_dir=folder / identity,
            clock=SystemClock(),
            wall=wall,
            dice=self._dice,
        )

    @property
    def plan(self) -> SamplingPlan:
        """What it samples by now."""
        return settle(self._config, self.coordinator.guidance, View(0, ())).plan

    def second(self) -> None:
        plan, seen = self.plan, dict[str, ServiceLoad]()
        for name, mean in self.load.items():
            received = self._around(mean)
            kept = min(self._around(received * plan.of_service(name).rate), received)
            seen[name] = ServiceLoad(received=received, kept=kept)
        self._senses.seen = seen
        self.received = sum(one.received for one in seen.values())
        self.kept = sum(one.kept for one in seen.values())

    def _around(self, mean: float) -> float:
        return max(self._dice.gauss(mean, sqrt(mean)), 0.0)


class LoadedFleet:
    """All of them. `kept` has a figure for every second that has passed: spans per second of the whole fleet."""

    def __init__(self, coordination: CoordinationConfig, folder: Path, wall: WallClock) -> None:
        self.gateways: list[LoadedGateway] = []
        self.kept: list[float] = []
        self._coordination, self._folder, self._wall = coordination, folder, wall
        self._store, self._version, self._made = EtcdStore(coordination), 0, 0

    async def configure(self, body: str) -> None:
        self._version += 1
        blob = Blob(version=self._version, sha256=hashlib.sha256(body.encode()).hexdigest(), body=body)
        await self._store.put(Keys(self._coordination.prefix).global_config, msgspec.json.encode(blob))

    async def join(self, load: Loads) -> LoadedGateway:
        number = self._made
        self._made += 1
        region = REGIONS[number % len(REGIONS)]
        gateway = LoadedGateway(self._coordination, f"gw-{number}", region, self._folder, wall=self._wall, seed=number)
        gateway.load = load
        await gateway.coordinator.start(START_S)
        self.gateways.append(gateway)
        return gateway

    async def leave(self, gateway: LoadedGateway) -> None:
        """With a farewell, as on SIGTERM."""
        self.gateways.remove(gateway)
        await gateway.coordinator.leave()
        await gateway.coordinator.stop()

    async def crash(self, gateway: LoadedGateway) -> None:
        """Without a word: its lease has to expire."""
        self.gateways.remove(gateway)
        await gateway.store.close()
        await gateway.coordinator.stop()

    async def run(self, seconds: int, before_each: Callable[[int], None] = lambda _: None) -> None:
        """So many seconds pass. before_each is called with how many have passed, to change loads."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        for second in range(seconds):
            await asyncio.sleep(max(begun_s + second * SECOND_S - loop.time(), 0.0))
            before_each(second)
            for gateway in self.gateways:
                gateway.second()
            self.kept.append(sum(gateway.kept for gateway in self.gateways))

    async def close(self) -> None:
        while self.gateways:
            await self.leave(self.gateways[-1])
        await self._store.close()


@asynccontextmanager
async def loaded_fleet(wall: WallClock | None = None) -> AsyncIterator[LoadedFleet]:
    """On an etcd of its own, with the intervals of the product."""
    with etcd() as cluster, tempfile.TemporaryDirectory(prefix="spangate-loaded-") as folder:
        fleet = LoadedFleet(cluster.config(timeout_s=4.0), Path(folder), wall or SystemClock())
        try:
            yield fleet
        finally:
            await fleet.close()
