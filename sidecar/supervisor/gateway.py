"""The running gateway as admin, metrics and views see it: read from the workers' pages, at any instant."""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Mapping, Sequence

import psutil

from sidecar._native.ledger import PageReader
from sidecar.config.effective import effective
from sidecar.config.load import Sources
from sidecar.config.schema import BackendConfig, GatewayConfig
from sidecar.model import Endpoint, Signal
from sidecar.policy.policy import Policy
from sidecar.ports import Member
from sidecar.routing.intelligent import Observed
from sidecar.routing.view import key_of
from sidecar.snapshot import (
    BackendStatus,
    Explanation,
    Figures,
    GatewayStatus,
    LedgerSnapshot,
    Question,
    SettingValue,
    WorkerStatus,
)
from sidecar.supervisor.explain import explain
from sidecar.supervisor.keeper import Keeper
from sidecar.supervisor.recent import Recent, Sample
from sidecar.supervisor.tally import SIGNALS, figures_of, ledger_of


class RunningGateway:
    """Implements `ports.Gateway`."""

    def __init__(
        self,
        config: GatewayConfig,
        sources: Sources,
        keepers: Sequence[Keeper],
        budget: mmap.mmap,
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

    def use(self, config: GatewayConfig, sources: Sources, policy: Policy) -> None:
        """What is in force from now on."""
        self._config, self._sources, self._policy = config, sources, policy

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
        if not any(figures["up"] for figures in self._backend_figures().values()):
            return False, "no backend is up"
        return True, ""

    def explain(self, question: Question) -> Explanation:
        up = {key for key, figures in self._backend_figures().items() if figures["up"]}
        return explain(question, self._policy, up)

    def config(self) -> tuple[SettingValue, ...]:
        return effective(self._config, self._sources)

    def status(self) -> GatewayStatus:
        ready, reason = self.ready()
        used, limit = struct.unpack_from("QQ", self._budget)
        return GatewayStatus(
            version=self._version,
            region=self._config.region,
            uptime_s=time.monotonic() - self._started_s,
            ready=ready,
            reason=reason,
            generation=self._policy.generation if self._policy else 0,
            strategy=str(self._config.routing.strategy),
            sampling_rate=self._config.sampling.rate,
            memory_bytes=used,
            memory_limit_bytes=limit,
            rates=self._recent.rates(),
            latency_p50_ms=self._recent.latency_ms(0.5),
            latency_p99_ms=self._recent.latency_ms(0.99),
            listen=self._listen,
            workers=tuple(map(_worker, self._keepers)),
            backends=self._backends(),
        )

    # ---- for `intelligent`

    def backend_loads(self) -> Mapping[str, Observed]:
        """How the backends that are up do: their queue as load, their calls' mean time."""
        found = self._backend_figures()
        limit = self._config.limits.backend_queue_bytes * len(self._keepers)
        return {
            member.name: Observed(load=figures["queued_bytes"] / limit, latency_ms=figures["latency_ns"] / 1e6)
            for member in self._members()
            if (figures := found.get(key_of(member))) is not None and figures["calls"]
        }

    # ---- parts

    def _pages(self) -> list[PageReader]:
        return [keeper.page for keeper in self._keepers]

    def _members(self) -> Sequence[Member]:
        return self._policy.view.members if self._policy else ()

    def _backend_figures(self) -> dict[int, dict[str, int]]:
        """Sums over the workers by key of the backend; `up` is the workers that can reach it, latency the worst."""
        sums: dict[int, dict[str, int]] = {}
        for page in self._pages():
            for key, figures in page.backends().items():
                known = sums.setdefault(key, {})
                for name, value in figures.items():
                    if name in {"items", "failed_items", "latency"}:
                        known[name] = _add(known.get(name), value)
                    elif name == "latency_ns":
                        known[name] = max(known.get(name, 0), value)
                    else:
                        known[name] = known.get(name, 0) + int(value)
        return sums

    def _backends(self) -> tuple[BackendStatus, ...]:
        figures = self._backend_figures()
        recent = self._recent.backend_items()
        everything = sum(recent.values())
        configured = {backend.address: backend for backend in self._config.backends}
        return tuple(
            self._backend(member, configured.get(member.address), figures.get(key_of(member), {}),
                          recent.get(key_of(member), 0) / everything if everything else 0.0)
            for member in self._members()
        )

    def _backend(
        self, member: Member, config: BackendConfig | None, figures: Mapping[str, int], share: float
    ) -> BackendStatus:
        key = key_of(member)
        up = bool(figures.get("up"))
        return BackendStatus(
            name=member.name,
            address=str(member.address),
            up=up,
            reason="" if up else "not connected" if not figures.get("connects") else "connection lost, or passed over",
            weight=member.weight,
            share=share,
            queue_bytes=figures.get("queued_bytes", 0),
            queue_limit_bytes=self._config.limits.backend_queue_bytes * len(self._keepers),
            calls_in_flight=figures.get("in_flight", 0),
            latency_p50_ms=self._recent.backend_latency_ms(key, 0.5),
            latency_p99_ms=self._recent.backend_latency_ms(key, 0.99),
            sent=_by_signal(figures.get("items")),
            send_failed=_by_signal(figures.get("failed_items")),
            retried=figures.get("retried", 0),
            rerouted=figures.get("rerouted", 0),
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
        connections=figures["connections"],
        restarts=keeper.restarts,
        cpu_s=cpu_s,
    )


def _add(one: object, other: object) -> object:
    if one is None:
        return other
    assert isinstance(one, tuple) and isinstance(other, tuple)
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _by_signal(items: object) -> dict[Signal, int]:
    return dict(zip(SIGNALS, items, strict=True)) if isinstance(items, tuple) else {}


