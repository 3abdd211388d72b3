"""The running gateway as admin, metrics and views see it: read from the workers' pages, at any instant."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import psutil

from sidecar._native.ledger import PageReader
from sidecar.config.effective import effective
from sidecar.config.load import Sources
from sidecar.config.schema import GatewayConfig
from sidecar.model import Endpoint, Signal
from sidecar.policy.policy import Policy
from sidecar.ports import Member
from sidecar.routing.intelligent import Observed
from sidecar.routing.view import key_of
from sidecar.snapshot import (
    BackendStatus,
    Explanation,
    Figures,
    FleetStatus,
    Foresight,
    GatewayStatus,
    LedgerSnapshot,
    Question,
    SettingValue,
    WorkerStatus,
)
from sidecar.supervisor.explain import explain
from sidecar.supervisor.keeper import Budget, Keeper
from sidecar.supervisor.observed import Counts
from sidecar.supervisor.recent import Recent, Sample
from sidecar.supervisor.tally import BackendSum, backends_of, figures_of, ledger_of, observed_of


class Counted(NamedTuple):
    """What a gateway has counted since the start, and what it holds now. Items are spans."""

    received: int
    received_bytes: int
    failed: int
    in_flight: int
    queue_bytes: int
    queue: float
    """Fill of the fullest of its queues and of its budget, 0 to 1."""


class RunningGateway:
    """Implements `ports.Gateway`."""

    def __init__(
        self,
        config: GatewayConfig,
        sources: Sources,
        keepers: Sequence[Keeper],
        budget: Budget,
        *,
        listen: Sequence[Endpoint],
        version: str,
    ) -> None:
        self.draining = False
        self._config, self._sources = config, sources
        self._policy: Policy | None = None
        self._keepers = keepers
        self._budget = budget
        self._listen = tuple(map(str, listen))
        self._version = version
        self._started_s = time.monotonic()
        self._recent = Recent()
        self._said_by: Mapping[str, str] = {}
        self._fleet: Callable[[], FleetStatus] = FleetStatus
        self._foresight: Callable[[], Foresight] = Foresight

    def join(self, fleet: Callable[[], FleetStatus], foresight: Callable[[], Foresight]) -> None:
        """Who tells what the status says of the fleet, and of the load."""
        self._fleet, self._foresight = fleet, foresight

    def use(self, config: GatewayConfig, sources: Sources, policy: Policy, said_by: Mapping[str, str]) -> None:
        """What is in force from now on. `said_by`: the settings that the store decides, and where they stand there."""
        self._config, self._sources, self._policy, self._said_by = config, sources, policy, said_by

    def tick(self) -> None:
        """A few times a second: remember the counters, for rates."""
        self._recent.add(Sample(time.monotonic(), self._pages()))

    # ---- ports.Gateway

    def ledger(self) -> LedgerSnapshot:
        return ledger_of(self._pages())

    def figures(self) -> Figures:
        return figures_of(self._pages())

    def ready(self) -> tuple[bool, str]:
        if self.draining:
            return False, "the gateway is draining"
        if not any(keeper.generation for keeper in self._keepers):
            return False, "no worker serves yet"
        if not any(figures.up for figures in backends_of(self._pages()).values()):
            return False, "no backend is up"
        return True, ""

    def explain(self, question: Question) -> Explanation:
        up = {key for key, figures in backends_of(self._pages()).items() if figures.up}
        return explain(question, self._policy, up)

    def config(self) -> tuple[SettingValue, ...]:
        return effective(self._config, self._sources, self._said_by)

    def status(self) -> GatewayStatus:
        ready, reason = self.ready()
        used, limit = self._budget.read()
        return GatewayStatus(
            version=self._version,
            region=self._config.region,
            uptime_s=time.monotonic() - self._started_s,
            ready=ready,
            reason=reason,
            generation=self._policy.generation if self._policy else 0,
            strategy=str(self._config.routing.strategy),
            sampling_rate=self._policy.sampling.rate if self._policy else self._config.sampling.rate,
            memory_bytes=used,
            memory_limit_bytes=limit,
            rates=self._recent.rates(),
            latency_p50_ms=self._recent.latency_ms(0.5),
            latency_p99_ms=self._recent.latency_ms(0.99),
            listen=self._listen,
            workers=tuple(map(_worker, self._keepers)),
            backends=self.backends(),
            fleet=msgspec.structs.replace(self._fleet(), fallbacks=self._fallbacks()),
            foresight=self._foresight(),
        )

    # ---- for the senses

    def counted(self) -> Counted:
        """Counters of traces, and how full it is now."""
        rows = [row for row in self.ledger().rows if row.signal is Signal.TRACES]
        figures = backends_of(self._pages()).values()
        used, limit = self._budget.read()
        each = self._config.limits.backend_queue_bytes * len(self._keepers)
        fullest = max((one.queued_bytes / each for one in figures), default=0.0)
        return Counted(
            received=sum(row.received for row in rows),
            received_bytes=sum(sum(row.answered_bytes) for page in self._pages() for row in page.signals()),
            failed=sum(row.rejected + row.dropped_total for row in rows),
            in_flight=sum(row.in_flight for row in rows),
            queue_bytes=sum(one.queued_bytes for one in figures),
            queue=max(fullest, used / limit if limit else 0.0),
        )

    def services(self) -> Mapping[str, Counts]:
        """Spans by service since the start."""
        return observed_of(self._pages())

    # ---- for `intelligent`

    def backend_loads(self) -> Mapping[str, Observed]:
        """How the backends that are up do: their queue as load, their calls' mean time."""
        found = backends_of(self._pages())
        limit = self._config.limits.backend_queue_bytes * len(self._keepers)
        return {
            member.name: Observed(load=figures.queued_bytes / limit, latency_ms=figures.latency_ns / 1e6)
            for member in self._members()
            if (figures := found.get(key_of(member))) is not None and figures.calls
        }

    # ---- parts

    def _pages(self) -> list[PageReader]:
        return [keeper.page for keeper in self._keepers]

    def _members(self) -> Sequence[Member]:
        return self._policy.members if self._policy else ()

    def _fallbacks(self) -> tuple[str, ...]:
        return tuple(sorted({one.region for one in self._policy.fallbacks})) if self._policy else ()

    def backends(self) -> tuple[BackendStatus, ...]:
        """The members, as the workers see them."""
        found = backends_of(self._pages())
        recent = self._recent.backend_items()
        everything = sum(recent.values()) or 1
        return tuple(
            self._backend(member, found.get(key, BackendSum()), recent.get(key, 0) / everything)
            for member in self._members()
            for key in (key_of(member),)
        )

    def _backend(self, member: Member, figures: BackendSum, share: float) -> BackendStatus:
        key = key_of(member)
        up = figures.up > 0
        return BackendStatus(
            name=member.name,
            address=str(member.address),
            up=up,
            reason="" if up else "connection lost, or passed over" if figures.connects else "not connected",
            weight=member.weight,
            share=share,
            queue_bytes=figures.queued_bytes,
            queue_limit_bytes=self._config.limits.backend_queue_bytes * len(self._keepers),
            calls_in_flight=figures.in_flight,
            latency_p50_ms=self._recent.backend_latency_ms(key, 0.5),
            latency_p99_ms=self._recent.backend_latency_ms(key, 0.99),
            sent=dict(figures.items),
            send_failed=dict(figures.failed_items),
            retried=figures.retried,
            rerouted=figures.rerouted,
            rejected=figures.rejected_items,
        )


def _worker(keeper: Keeper) -> WorkerStatus:
    figures = keeper.page.worker()
    cpu_s = 0.0
    if keeper.alive:
        try:
            times = psutil.Process(keeper.pid).cpu_times()
            cpu_s = times.user + times.system
        except psutil.NoSuchProcess:
            cpu_s = 0.0
    return WorkerStatus(
        number=keeper.index,
        pid=keeper.pid,
        alive=keeper.alive,
        heartbeat_age_s=keeper.heartbeat_age_s() if keeper.alive else 0.0,
        generation=keeper.generation,
        connections=figures.connections,
        backends_up=sum(backend.up for backend in keeper.page.backends()),
        restarts=keeper.restarts,
        cpu_s=cpu_s,
    )
