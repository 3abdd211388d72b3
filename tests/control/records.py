"""Records as tests want them: only what a test is about is given."""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.control.records import CollectorRecord, GatewayRecord, ServiceInfo
from sidecar.model import Endpoint, Health
from sidecar.sampling.plan import ServiceLoad
from sidecar.snapshot import Load

REGION = "eu"


def address(name: str) -> Endpoint:
    return Endpoint(f"{name}.example", 4317)


def collector(
    name: str, *, health: Health = Health.HEALTHY, weight: float = 1.0, load: Load | None = None, region: str = REGION
) -> CollectorRecord:
    who = ServiceInfo(id=name, name=name, address=address(name), region=region, health=health)
    return CollectorRecord(service=who, load=load or Load(), weight=weight)


def gateway(
    name: str,
    *,
    suspects: Mapping[str, str] | None = None,
    observed: Mapping[str, ServiceLoad] | None = None,
    loads: Mapping[str, Load] | None = None,
    region: str = REGION,
    load: Load | None = None,
) -> GatewayRecord:
    seen = observed or {}
    return GatewayRecord(
        service=ServiceInfo(id=name, name=name, address=address(name), region=region),
        load=load or Load(),
        suspects={str(address(who)): why for who, why in (suspects or {}).items()},
        observed=seen,
        received=sum(one.received for one in seen.values()),
        kept=sum(one.kept for one in seen.values()),
        collector_loads={str(address(who)): one for who, one in (loads or {}).items()},
    )
