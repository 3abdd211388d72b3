"""One gateway's control plane, whole, with what its worker does at the end; the data plane alone is left out.

etcd --own connection--> Coordinator: watch, read, validate --> Publisher: settle, compile, seal
     --> InProcessWorker: map, check, tables, take over
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import msgspec

from benchmarks.fleet.senses import SimulatedSenses, known_as
from sidecar._native.route import Routing
from sidecar.clock import SystemClock
from sidecar.config.fleet import FleetConfig
from sidecar.config.load import Sources
from sidecar.config.overlay import Overlay
from sidecar.config.schema import CoordinationConfig, GatewayConfig
from sidecar.control.coordinator import Coordinator
from sidecar.control.guidance import GLOBAL, Guidance
from sidecar.coord.etcd import EtcdStore
from sidecar.pipeline.sampler import Sampler
from sidecar.policy.handover import take_over
from sidecar.policy.policy import Policy
from sidecar.policy.shelf import Reader
from sidecar.supervisor.gateway import RunningGateway
from sidecar.supervisor.keeper import Budget, Keeper, Shelf
from sidecar.supervisor.publisher import Publisher

REGION = "bench"
START_S = 60.0
LOOK_S = 0.25
"""How often a supervisor looks whether its workers have acknowledged."""

Told = Callable[[int, float, int], None]
"""Called with version of the configuration, weight of the first member, and the time (monotonic ns), at every swap."""


class InProcessWorker(Keeper):
    """Does with a policy what a worker does (Worker._use), but for connections to backends."""

    def __init__(self, budget: Budget, shelf: Shelf, swapped: Callable[[Policy], None]) -> None:
        super().__init__(0, "bench", budget, [], shelf)
        self._swapped = swapped
        self._policies = Reader()
        self._text, self._config = b"", GatewayConfig()
        self._policy: Policy | None = None
        self._sampler: Sampler | None = None
        self._routing: Routing | None = None

    @property
    def alive(self) -> bool:
        return True

    def use(self) -> None:
        policy_fd, config_fd, *table_fds = self._shelf.descriptors
        policy = self._policies.read(policy_fd, table_fds)
        size_bytes = os.fstat(config_fd).st_size
        text = os.pread(config_fd, size_bytes, 0)
        if text != self._text:
            self._config, self._text = msgspec.json.decode(text, type=GatewayConfig), text
        self._sampler = Sampler(policy.sampling, self._config.workers, self._sampler)
        if self._policy is None or self._routing is None:
            self._routing = policy.routing()
        else:
            now_ns, unix_ns = time.monotonic_ns(), time.time_ns()
            self._routing = take_over(policy, self._policy, self._routing, now_ns=now_ns, unix_ns=unix_ns)
        self._policy = policy
        self.generation = policy.generation
        self._swapped(policy)


class ControlStack:
    """One member of a fleet. announcing: it tells the fleet what it has applied, as a gateway does."""

    def __init__(self, coordination: CoordinationConfig, identity: str, folder: Path, told: Told, *, announcing: bool):
        self._told, self._announcing = told, announcing
        self._tasks: set[asyncio.Task[None]] = set()
        config = GatewayConfig(id=identity, region=REGION, coordination=coordination)
        self._overlay = Overlay()
        clock, budget, shelf = SystemClock(), Budget(config.limits.memory_bytes), Shelf()
        worker = InProcessWorker(budget, shelf, self._swapped)
        gateway = RunningGateway(config, Sources(), [worker], budget, listen=config.listen, version="bench")
        self.coordinator = Coordinator(
            EtcdStore(coordination),
            coordination,
            known_as(identity, REGION),
            SimulatedSenses(),
            routing=lambda: self.publisher.effective.routing,
            sampling=lambda: (self.coordinator.guidance.config.everywhere, self.publisher.effective.sampling.rate),
            check=lambda fleet: self._check(config, fleet),
            state_dir=folder,
            clock=clock,
            wall=clock,
            dice=random.Random(),
        )
        self.publisher = Publisher(
            config,
            Sources(),
            keepers=[worker],
            on_shelf=shelf,
            gateway=gateway,
            overlay=self._overlay,
            applied=self.coordinator.applied,
        )

    async def start(self) -> None:
        """In the fleet, and by its first policy."""
        await self.coordinator.start(START_S)
        self.publisher.guidance = self.coordinator.guidance
        await self.publisher.publish()
        self.coordinator.subscribe(self._guided)
        self._guided(self.coordinator.guidance)
        if self._announcing:
            self._task(self._look())

    async def stop(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.coordinator.leave()
        await self.coordinator.stop()

    # ---- what Supervisor does

    def _guided(self, guidance: Guidance) -> None:
        self.publisher.guidance = guidance
        self._task(self.publisher.publish())

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self.publisher.acknowledged()

    def _task(self, what: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    def _check(self, config: GatewayConfig, fleet: FleetConfig) -> None:
        self._overlay.settled(config, fleet, config.region)

    # ---- the measure

    def _swapped(self, policy: Policy) -> None:
        state = self.coordinator.guidance.states.get(GLOBAL)
        first = policy.members[0].weight if policy.members else 0.0
        self._told(state.applied_version if state else 0, first, time.monotonic_ns())
