"""The life of a gateway: bind, join the fleet, start the workers, publish policies, reload, leave, drain."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress

from sidecar.admin.remote import remote_of
from sidecar.admin.server import AdminServer
from sidecar.admin.service import AdminService
from sidecar.clock import SystemClock
from sidecar.config.load import Sources, load
from sidecar.config.overlay import Overlay
from sidecar.config.reload import Reloaded, reloaded
from sidecar.config.schema import GatewayConfig
from sidecar.control.guidance import Guidance
from sidecar.control.state_dir import admin_socket, gateway_id, state_dir, unwritable
from sidecar.errors import ConfigInvalid, Exit, NoBackend
from sidecar.load.collector import CollectorWatch
from sidecar.model import release
from sidecar.sampling.plan import SamplingPlan
from sidecar.supervisor.fleet import Fleet
from sidecar.supervisor.gateway import RunningGateway
from sidecar.supervisor.keeper import Budget, Keeper, Shelf
from sidecar.supervisor.listeners import Listeners
from sidecar.supervisor.publisher import Publisher
from sidecar.supervisor.senses import GatewaySenses
from sidecar.telemetry import log

LOOK_S = 0.25
SENSE_S = 1.0
END_S = 5.0
"""What a worker may take beyond the drain's time before it is killed."""


class Supervisor:
    """One gateway. `run` may be called once."""

    def __init__(self, config: GatewayConfig, sources: Sources) -> None:
        self._config = config
        self._sources = sources
        self._log = log.logger("supervisor")
        self._clock = SystemClock()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._code = Exit.OK
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Until told to stop; the exit code."""
        config = self._config
        self._listeners = Listeners(config.listen, config.workers)
        try:
            self._assemble()
            await self._serve()
        finally:
            self._listeners.close()
        return self._code

    def _assemble(self) -> None:
        """All parts; none of them does anything yet."""
        config, listen = self._config, self._listeners.bound
        version = release()
        identity = gateway_id(config, listen[0])
        folder = state_dir(config, identity, os.environ)
        if reason := unwritable(folder):
            self._log.warning(
                "nothing is kept on disk: a restart knows neither what was applied nor the last good configuration",
                folder=str(folder),
                reason=reason,
                hint="mount a volume there, or set coordination.state_dir",
            )
        budget, on_shelf = Budget(config.limits.memory_bytes), Shelf()
        self._keepers = [
            Keeper(index, version, budget, self._listeners.of(index), on_shelf) for index in range(config.workers)
        ]
        self.gateway = RunningGateway(config, self._sources, self._keepers, budget, listen=listen, version=version)
        self._senses = GatewaySenses(self.gateway, self._pids, identity, config.region, self._clock)
        overlay = Overlay()
        self._fleet = Fleet(
            config,
            identity,
            listen[0],
            self._senses,
            folder,
            overlay=overlay,
            unkept=reason,
            own=lambda: self._publisher.config,
            effective=lambda: self._publisher.effective,
        )
        self._publisher = Publisher(
            config,
            self._sources,
            keepers=self._keepers,
            on_shelf=on_shelf,
            gateway=self.gateway,
            overlay=overlay,
            applied=self._fleet.coordinator.applied,
        )
        self.gateway.join(self._fleet.status, lambda: self._senses.foresight(self._publisher.ceiling))
        self._admin = AdminServer(self.gateway, self._fleet, config.admin.listen)
        self._service = AdminService(
            self._fleet.desk, admin_socket(config, identity, os.environ), remote=remote_of(config.admin.grpc)
        )
        self._watch: CollectorWatch | None = None
        if config.collector.endpoint is not None:
            self._watch = CollectorWatch(config.collector, self._clock, random.Random())
            self._senses.beside(config.collector, self._watch, self._clock.unix_s())

    async def _serve(self) -> None:
        config = self._config
        await self._admin.start()
        try:
            await self._service.start()
            if self._watch is not None:
                await self._watch.start()
            self._guided(await self._fleet.start(self._guided))
            await self._publisher.publish()
            self._watch_signals()
            for keeper in self._keepers:
                keeper.start()
            self._every(LOOK_S, self._look)
            self._every(SENSE_S, self._sense)
            self._log.info(
                "the gateway serves",
                id=self._fleet.who.id,
                listen=", ".join(map(str, self._listeners.bound)),
                workers=config.workers,
                backends=len(config.backends),
                store=str(config.coordination.store),
                routing=str(self._publisher.effective.routing.strategy),
                sampling_rate=self._publisher.effective.sampling.rate,
            )
            await self._stop.wait()
            await self._drain()
        finally:
            await self._fleet.stop()
            await self._service.stop()
            if self._watch is not None:
                await self._watch.stop()
            await self._admin.stop()

    # ---- policies

    def _guided(self, guidance: Guidance) -> None:
        """The fleet has said something."""
        self._publisher.guidance = guidance
        self._senses.degrade(guidance.config.everywhere.degradation)
        if self._publisher.policy is not None:  # the first is published by who starts
            self._task(self._publisher.publish())

    async def _reload(self) -> None:
        """SIGHUP: file, environment and flags are read again; what is wrong with them changes nothing."""
        try:
            new, sources = await asyncio.to_thread(self._read_again)
            self._publisher.reload(new.config, sources)
        except (ConfigInvalid, NoBackend) as error:
            self._log.error("the new configuration is refused, the old one stays", reason=str(error))
            return
        except OSError as error:
            self._log.error("the configuration cannot be read, the old one stays", reason=str(error))
            return
        self._config, self._sources = new.config, sources
        log.configure(new.config.log.level, new.config.log.format)
        self._fleet.reloaded()
        await self._publisher.publish()
        self._log.info("the configuration is reloaded", changed=list(new.live), after_restart=list(new.restart))

    def _read_again(self) -> tuple[Reloaded, Sources]:
        loaded = load(self._sources.inputs)
        if loaded.config.needs_backends:
            raise NoBackend
        return reloaded(self._config, loaded.config), loaded.sources

    # ---- time and signals

    async def _look(self) -> None:
        for keeper in self._keepers:
            keeper.look()
        self._publisher.acknowledged()

    async def _sense(self) -> None:
        self.gateway.tick()
        policy = self._publisher.policy
        self._senses.tick(policy.sampling if policy else SamplingPlan())
        changed = self._publisher.shed_by(self._senses, self._clock.monotonic_s())
        if self._publisher.reweigh() or changed:
            await self._publisher.publish()

    def _pids(self) -> list[int]:
        return [keeper.pid for keeper in self._keepers if keeper.alive]

    def _every(self, period_s: float, act: Callable[[], Awaitable[None]]) -> None:
        async def forever() -> None:
            while not self._stop.is_set():
                await asyncio.sleep(period_s)
                await act()

        self._task(forever())

    def _task(self, what: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("a task of the supervisor failed", reason=repr(error))
            self._code = Exit.INTERNAL
            self._stop.set()

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._task(self._reload()))

    def _asked_to_stop(self) -> None:
        if self._stop.is_set():
            self._log.warning("told to stop twice: what is not sent yet is dropped")
            self._hurry.set()
            for keeper in self._keepers:
                keeper.abandon()
        self._stop.set()

    # ---- the end

    async def _drain(self) -> None:
        """Not ready, out of the fleet, GOAWAY, finish, flush, end."""
        shutdown = self._config.shutdown
        self.gateway.draining = True
        self._log.info("draining", timeout_s=shutdown.drain_timeout_s)
        await self._fleet.leave()
        if shutdown.unready_for_s:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), shutdown.unready_for_s)
        self._listeners.close()  # the workers' copies go with the order: nobody is left waiting in a backlog
        for keeper in self._keepers:
            keeper.drain(shutdown.drain_timeout_s)
        await asyncio.gather(*(keeper.wait(shutdown.drain_timeout_s + END_S) for keeper in self._keepers))
        ledger = self.gateway.ledger()
        for row in ledger.totals():
            self._log.info(
                "final ledger",
                signal=str(row.signal),
                received=row.received,
                forwarded=row.forwarded,
                sampled_out=row.sampled_out,
                rejected=row.rejected,
                dropped=row.dropped_total,
                in_flight=row.in_flight,
                difference=row.difference,
            )
