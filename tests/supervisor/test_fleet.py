"""A gateway as a fleet of one: the embedded store, and what the admin asks of it."""

from pathlib import Path

import msgspec
import pytest

from sidecar.config.fleet import FleetConfig
from sidecar.config.overlay import Overlay, settled
from sidecar.config.schema import CoordinationConfig, GatewayConfig, RoutingConfig
from sidecar.control.guidance import Guidance
from sidecar.control.records import CollectorRecord
from sidecar.coord.etcd import EtcdStore
from sidecar.coord.memory import MemoryStore
from sidecar.errors import ConfigInvalid, Problem
from sidecar.model import Endpoint, MemberSource, StoreKind
from sidecar.supervisor.fleet import Fleet, described, opened
from tests.control.members import FakeSenses
from tests.control.records import collector
from tests.coord.waiting import until

OWN = GatewayConfig(
    region="eu",
    routing=RoutingConfig(members=MemberSource.REGISTRY),
    coordination=CoordinationConfig(lease_ttl_s=2.0, timeout_s=1.0, announce_every_s=0.1),
)
LISTEN = Endpoint("127.0.0.1", 4317)


class Gateway:
    """A Fleet, and who would act by it."""

    def __init__(self, folder: Path, beside: CollectorRecord | None = None) -> None:
        self.own = OWN
        self.senses = FakeSenses()
        self.senses.beside = beside
        self.fleet = Fleet(
            OWN,
            "g1",
            LISTEN,
            self.senses,
            folder,
            overlay=Overlay(),
            own=lambda: self.own,
            effective=lambda: self.own,
        )

    def guided(self, guidance: Guidance) -> None:
        self.fleet.coordinator.applied(guidance)

    async def start(self) -> None:
        self.guided(await self.fleet.start(self.guided))


async def test_a_fleet_of_one(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, collector("c1"))
    await gateway.start()
    fleet = gateway.fleet
    await until(lambda: fleet.status().members == 1 and fleet.status().led, "its collector is in the view")
    done = await fleet.desk.apply("global", "global: {sampling_rate: 0.25}\n", author="me")
    assert done.version == 1
    await until(lambda: fleet.status().scopes["global"].applied_version == 1 if fleet.status().scopes else 0, "taken")
    status = fleet.status()
    assert (status.id, status.store, status.connected, status.lease_valid) == ("g1", "memory", True, True)
    assert status.leads == ("global", "regions/eu")
    assert (status.silent_for_s, status.trouble) == (0.0, "")
    found = (await fleet.topology()).regions[0]
    assert (found.name, found.leader, len(found.collectors), len(found.gateways)) == ("eu", "g1", 1, 1)
    best = (await fleet.best(None, None)).best
    assert best is not None
    assert best.id == "c1"
    assert (await fleet.best("us", None)).best is None
    await fleet.leave()
    await fleet.stop()

    again = Gateway(tmp_path)
    await again.start()
    assert again.fleet.status().scopes["global"].applied_version == 1, "the embedded store is on disk"
    assert await again.fleet.desk.get("global") is not None
    await again.fleet.leave()
    await again.fleet.stop()


async def test_what_is_refused_is_looked_at_again_after_a_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Gateway(tmp_path)

    def picky(_: Overlay, own: GatewayConfig, fleet: FleetConfig, region: str) -> object:
        if own is OWN:
            raise ConfigInvalid([Problem("sampling", "does not go with its own")])
        return settled(own, fleet, region)

    monkeypatch.setattr(Overlay, "settled", picky)
    await gateway.start()
    await gateway.fleet.desk.apply("global", "global: {sampling_rate: 0.25}\n", author="me")
    await until(lambda: gateway.fleet.status().scopes, "it is seen")
    assert "does not go with its own" in gateway.fleet.status().scopes["global"].refused[0]
    gateway.own = msgspec.structs.replace(OWN, workers=2)
    gateway.fleet.reloaded()
    assert gateway.fleet.status().scopes["global"].applied_version == 1
    await gateway.fleet.leave()
    await gateway.fleet.stop()


def test_how_a_gateway_is_known() -> None:
    assert described(OWN, "g1", Endpoint("10.1.2.3", 4317)).address == Endpoint("10.1.2.3", 4317)
    assert described(OWN, "g1", Endpoint("0.0.0.0", 4317)).address.host not in {"0.0.0.0", ""}
    advertised = msgspec.structs.replace(OWN, advertise=Endpoint("gw.example", 14317))
    assert described(advertised, "g1", LISTEN).address == Endpoint("gw.example", 14317)


async def test_the_store_that_is_configured(tmp_path: Path) -> None:
    for kind, made in ((StoreKind.MEMORY, MemoryStore), (StoreKind.ETCD, EtcdStore)):
        store = opened(CoordinationConfig(store=kind), tmp_path)
        assert isinstance(store, made)
        await store.close()
