"""What the gateway feels: its load and where it is heading, its services, its members, and the collector beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from sidecar.clock import Clock
from sidecar.config.fleet import DegradationConfig
from sidecar.config.schema import CollectorConfig
from sidecar.control.records import CollectorRecord, ServiceInfo
from sidecar.load.collector import CollectorWatch
from sidecar.load.meter import HORIZON_S, Meter, Reading
from sidecar.load.probe import Probe
from sidecar.sampling.degradation import Degradation
from sidecar.sampling.plan import Observed, SamplingPlan, Shed
from sidecar.sampling.shed import kept_by_class, left_below_all
from sidecar.snapshot import BackendStatus, Foresight, Load
from sidecar.supervisor.gateway import RunningGateway
from sidecar.supervisor.observed import ServiceRates

SUSPECT_S = 3.0
"""How long a member is out of reach before the fleet is told: a connection that is made anew is no news."""


class GatewaySenses:
    """Implements `control.Senses`. `tick` is called once a second, everything else reads what it found."""

    def __init__(
        self, gateway: RunningGateway, workers: Callable[[], Sequence[int]], who: str, region: str, clock: Clock
    ) -> None:
        self._gateway = gateway
        self._who, self._region = who, region
        self._clock = clock
        self._probe = Probe(clock, os.getpid(), workers)
        self._meter = Meter()
        self._rates = ServiceRates()
        self._degradation = Degradation()
        self._backends: dict[str, BackendStatus] = {}
        self._lost_s: dict[str, float] = {}
        self._sent = 0
        self._sent_at_s = 0.0
        self._sent_qps = 0.0
        self._watch: CollectorWatch | None = None
        self._collector_config = CollectorConfig()
        self._registered_at_unix_s = 0.0
        self.shed = Shed()
        """What degradation sheds now."""

    def beside(self, config: CollectorConfig, watch: CollectorWatch, now_unix_s: float) -> None:
        """There is a collector, and this watches it."""
        self._collector_config, self._watch, self._registered_at_unix_s = config, watch, now_unix_s

    def degrade(self, config: DegradationConfig | None) -> None:
        """Another configuration. Where degradation stands does not change."""
        self._degradation.config = config or DegradationConfig()

    def tick(self, plan: SamplingPlan) -> None:
        """Reads everything once. `plan`: what is sampled by now."""
        now_s = self._clock.monotonic_s()
        usage, counted = self._probe.usage(), self._gateway.counted()
        self._meter.add(
            Reading(
                at_s=now_s,
                received=counted.received,
                received_bytes=counted.received_bytes,
                failed=counted.failed,
                in_flight=counted.in_flight,
                queue_bytes=counted.queue_bytes,
                queue=counted.queue,
                cpu=usage.cpu,
                memory=usage.memory,
            )
        )
        self._rates.add(now_s, self._gateway.services())
        self._look_at_members(now_s)
        load = self._meter.load()
        kept = kept_by_class(plan, self.observed())
        self.shed = self._degradation.step(self._meter.pressure, load.forecast, load.confidence, now_s, kept)

    def foresight(self, ceiling: Shed) -> Foresight:
        """For people. `ceiling`: what is shed beside degradation, since nobody leads."""
        load, score = self._meter.load(), self._meter.score
        return Foresight(
            load=load,
            utilization=self._meter.pressure,
            forecast=load.forecast,
            confidence=load.confidence,
            horizon_s=HORIZON_S,
            error=score.error,
            naive_error=score.naive_error,
            degradation_level=self._degradation.level,
            shed={
                cause: left
                for cause, shed in (("degradation", self.shed), ("ceiling", ceiling))
                if (left := left_below_all(shed))
            },
        )

    # ---- control.Senses

    def load(self) -> Load:
        return self._meter.load()

    def observed(self) -> Observed:
        return self._rates.observed()

    def collector(self) -> CollectorRecord | None:
        config, watch = self._collector_config, self._watch
        if watch is None or config.endpoint is None:
            return None
        state = watch.state
        name = config.id or str(config.endpoint)
        return CollectorRecord(
            service=ServiceInfo(
                id=name.replace(":", "-"),
                name=name,
                address=config.endpoint,
                region=self._region,
                health=state.health,
                reason=state.reason,
                registered_at_unix_s=self._registered_at_unix_s,
            ),
            load=state.load,
            weight=config.weight,
            by=self._who,
        )

    def collector_loads(self) -> Mapping[str, Load]:
        return {
            address: Load(
                queue=backend.queue_bytes / backend.queue_limit_bytes if backend.queue_limit_bytes else 0.0,
                latency_ms=backend.latency_p50_ms,
                qps=backend.share * self._sent_qps,
            )
            for address, backend in self._backends.items()
            if backend.up
        }

    def suspects(self) -> Mapping[str, str]:
        now_s = self._clock.monotonic_s()
        return {
            address: self._backends[address].reason
            for address, lost_s in self._lost_s.items()
            if now_s - lost_s >= SUSPECT_S and address in self._backends
        }

    # ---- parts

    def _look_at_members(self, now_s: float) -> None:
        self._backends = {backend.address: backend for backend in self._gateway.backends()}
        sent = sum(sum(backend.sent.values()) for backend in self._backends.values())
        if now_s > self._sent_at_s > 0:
            self._sent_qps = max(sent - self._sent, 0) / (now_s - self._sent_at_s)  # less, where one has left
        self._sent, self._sent_at_s = sent, now_s
        lost = {address for address, backend in self._backends.items() if not backend.up}
        self._lost_s = {address: self._lost_s.get(address, now_s) for address in lost}
