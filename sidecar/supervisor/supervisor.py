"""The life of a gateway: bind, start the workers, publish policies, reload, drain."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress

import msgspec

from sidecar.admin.server import AdminServer
from sidecar.config.load import Sources, load
from sidecar.config.reload import Reloaded, reloaded
from sidecar.config.schema import GatewayConfig
from sidecar.errors import ConfigInvalid, Exit, NoBackend
from sidecar.model import RoutingStrategy, release
from sidecar.policy import shelf
from sidecar.policy.compile import compile_policy
from sidecar.policy.policy import Policy
from sidecar.routing.members import StaticMembers
from sidecar.routing.view import View
from sidecar.supervisor.gateway import RunningGateway
from sidecar.supervisor.keeper import Budget, Keeper, Shelf
from sidecar.supervisor.listeners import Listeners
from sidecar.supervisor.weights import LiveWeights
from sidecar.telemetry import log

LOOK_S = 0.25
WEIGHTS_S = 1.0
END_S = 5.0
"""What a worker may take beyond the drain's time before it is killed."""


class Supervisor:
    """One gateway. `run` may be called once."""

    def __init__(self, config: GatewayConfig, sources: Sources) -> None:
        self._config = config
        self._sources = sources
        self._log = log.logger("supervisor")
        self._shelf = Shelf()
        self._policy: Policy | None = None
        self._members = StaticMembers(config.backends)
        self._weights = LiveWeights()
        self._epoch = 0
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._code = Exit.OK
        self._publishing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Until told to stop; the exit code."""
        config = self._config
        listeners = self._listeners = Listeners(config.listen, config.workers)
        budget = Budget(config.limits.memory_bytes)
        version = release()
        self._keepers = [
            Keeper(index, version, budget, listeners.of(index), self._shelf) for index in range(config.workers)
        ]
        self.gateway = RunningGateway(
            config, self._sources, self._keepers, budget, listen=listeners.bound, version=version
        )
        admin = AdminServer(self.gateway, config.admin.listen)
        await admin.start()
        try:
            await self._publish()
            self._watch_signals()
            for keeper in self._keepers:
                keeper.start()
            self._every(LOOK_S, self._look)
            self._every(WEIGHTS_S, self._reweigh)
            self._log.info(
                "the gateway serves",
                listen=", ".join(map(str, listeners.bound)),
                workers=config.workers,
                backends=len(config.backends),
                routing=str(config.routing.strategy),
                sampling_rate=config.sampling.rate,
            )
            await self._stop.wait()
            await self._drain()
        finally:
            listeners.close()
            await admin.stop()
        return self._code

    # ---- policies

    async def _publish(self) -> None:
        """Compiles off the loop and gives the result to every worker; later calls wait for earlier ones."""
        async with self._publishing:
            self._epoch += 1
            config = self._config
            members = tuple(self._members.members())
            if config.routing.strategy is RoutingStrategy.INTELLIGENT:
                members = self._weights.apply(members)
            view = View(epoch=self._epoch, members=members)
            policy = await asyncio.to_thread(
                compile_policy, self._epoch, view, config.routing, config.sampling, self._policy
            )
            self._policy = policy
            self._shelf.put(policy.generation, shelf.publish(policy), shelf.seal(msgspec.json.encode(config)))
            self.gateway.use(config, self._sources, policy)
            for keeper in self._keepers:
                keeper.use()

    async def _reload(self) -> None:
        """SIGHUP: file, environment and flags are read again; what is wrong with them changes nothing."""
        try:
            new, sources = await asyncio.to_thread(self._read_again)
        except (ConfigInvalid, NoBackend) as error:
            self._log.error("the new configuration is refused, the old one stays", reason=str(error))
            return
        except OSError as error:
            self._log.error("the configuration cannot be read, the old one stays", reason=str(error))
            return
        self._config, self._sources = new.config, sources
        log.configure(new.config.log.level, new.config.log.format)
        self._members.replace(new.config.backends)
        await self._publish()
        self._log.info("the configuration is reloaded", changed=list(new.live), after_restart=list(new.restart))

    def _read_again(self) -> tuple[Reloaded, Sources]:
        loaded = load(self._sources.inputs)
        if not loaded.config.backends:
            raise NoBackend
        return reloaded(self._config, loaded.config), loaded.sources

    async def _reweigh(self) -> None:
        """`intelligent`: weights follow what the workers see; ownership moves only past the dead band."""
        routing = self._config.routing  # a reload may have changed the strategy
        if routing.strategy is not RoutingStrategy.INTELLIGENT:
            return
        if self._weights.observe(self.gateway.backend_loads(), routing):
            await self._publish()

    # ---- time and signals

    async def _look(self) -> None:
        for keeper in self._keepers:
            keeper.look()
        self.gateway.tick()

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
        """Not ready, GOAWAY, finish, flush, end."""
        shutdown = self._config.shutdown
        self.gateway.draining = True
        self._log.info("draining", timeout_s=shutdown.drain_timeout_s)
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
