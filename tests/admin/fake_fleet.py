"""A fleet that says what a test wants it to say."""

from __future__ import annotations

from sidecar.config.schema import RoutingConfig
from sidecar.control.best import Best, best, weighed
from sidecar.control.region import stats_of
from sidecar.control.topology import CollectorView, GatewayView, RegionView, Topology
from sidecar.coord.store import StoreError
from sidecar.model import Health
from sidecar.sampling.plan import ServiceLoad
from sidecar.snapshot import Load
from tests.control.records import collector, gateway


def sample() -> Topology:
    """One region: a collector that is well, one that is not, one gateway."""
    here = [collector("a", load=Load(cpu=0.5, memory=0.1, qps=50, capacity_qps=100)), collector("b")]
    speaker = gateway("g1", observed={"shop": ServiceLoad(received=100.0, kept=25.0)})
    down = {"b": "refused"}
    region = RegionView(
        name="eu",
        health=stats_of("eu", here, [speaker], down).health,
        leader="g1",
        epoch=3,
        totals=stats_of("eu", here, [speaker], down),
        effective_rate=0.25,
        collectors=(
            CollectorView(record=here[0], health=Health.HEALTHY, weight=1.0),
            CollectorView(record=here[1], health=Health.UNHEALTHY, reason="refused"),
        ),
        gateways=(GatewayView(record=speaker, target_rate=0.2, actual_rate=0.25),),
    )
    return Topology(revision=7, leader="g1", regions=(region,))


class FakeFleet:
    """`trouble`: the store does not answer."""

    def __init__(self, trouble: StoreError | None = None) -> None:
        self.trouble = trouble

    async def topology(self) -> Topology:
        if self.trouble is not None:
            raise self.trouble
        return sample()

    async def best(self, region: str | None, weights: str | None) -> Best:
        routing = weighed(RoutingConfig(), weights) if weights else RoutingConfig()
        return best(await self.topology(), "eu", routing, only_region=region)
