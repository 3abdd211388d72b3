"""A gateway that feels what it is told to feel."""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.control.records import CollectorRecord, ServiceInfo
from sidecar.model import Endpoint, Health
from sidecar.sampling.plan import Observed
from sidecar.snapshot import Load


class SimulatedSenses:
    """Implements control.Senses, without a data plane behind it."""

    def __init__(self) -> None:
        self.seen: Observed = {}

    def load(self) -> Load:
        received = sum(one.received for one in self.seen.values())
        return Load(cpu=0.2, memory=0.3, qps=received, bytes_per_s=300 * received, latency_ms=1.0)

    def observed(self) -> Observed:
        return self.seen

    def collector(self) -> CollectorRecord | None:
        return None

    def collector_loads(self) -> Mapping[str, Load]:
        return {}

    def suspects(self) -> Mapping[str, str]:
        return {}


def known_as(identity: str, region: str) -> ServiceInfo:
    """How a simulated gateway is registered."""
    return ServiceInfo(
        id=identity, name=identity, address=Endpoint("10.0.0.1", 4317), region=region, health=Health.HEALTHY
    )


def collector(number: int, region: str, weight: float = 1.0) -> CollectorRecord:
    """A healthy one that does not exist."""
    who = ServiceInfo(
        id=f"collector-{number}",
        name=f"collector-{number}",
        address=Endpoint(f"10.1.{number // 250}.{number % 250 + 1}", 4317),
        region=region,
        health=Health.HEALTHY,
    )
    return CollectorRecord(service=who, load=Load(cpu=0.3, memory=0.3), weight=weight)
