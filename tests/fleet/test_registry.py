"""Who is in the fleet: gateways and the collectors beside them, collectors without one, regions."""

from __future__ import annotations

from contextlib import ExitStack
from unittest.mock import ANY

import pytest

from sidecar.control.topology import RegionView
from sidecar.errors import Exit
from sidecar.model import RegionHealth
from tests.fleet.member import FleetGateway, healthy, registered
from tests.fleet.stage import Stage
from tests.harness.patience import until
from tests.harness.sink import Sink

pytestmark = pytest.mark.process


def region_of(gateway: FleetGateway, name: str) -> RegionView | None:
    """A region, as the fleet has it."""
    return next((region for region in gateway.topology().regions if region.name == name), None)


def test_a_gateway_registers_the_collector_beside_it(fleet: Stage) -> None:
    found = fleet.gateways[0].topology()
    assert [region.name for region in found.regions] == ["east", "west"]
    assert healthy(found) == {f"{gateway.identity}-collector" for gateway in fleet.gateways}
    for region in found.regions:
        assert region.health == "healthy"
        assert region.leader in {gateway.identity for gateway in fleet.of(region.name)}
        for one, sink in zip(region.collectors, fleet.sinks_of(region.name), strict=True):
            assert str(one.record.service.address) == sink.address
            assert one.weight == 1.0
        assert [one.record.service.id for one in region.gateways] == [
            gateway.identity for gateway in fleet.of(region.name)
        ]
    assert found.leader in {region.leader for region in found.regions}


def test_a_region_comes_and_goes_with_those_in_it(fleet: Stage) -> None:
    """A gateway that says goodbye is gone at once; a collector whose registrar dies, when its lease is over."""
    watcher = fleet.gateways[0]
    with Sink() as lonely, Sink() as beside:
        with fleet.gateway("north", "north-0", collector=beside.port) as gateway:
            with registered(gateway, lonely, "north", "lonely") as registrar:
                until(lambda: gateway.sees(2) and "lonely" in healthy(watcher.topology()), "it is in the view")
                registrar.kill()
                until(lambda: gateway.sees(1), "it has left the view")
            gateway.begin_to_stop()
            gateway.stop()
        assert region_of(watcher, "north") == RegionView(
            name="north", health=RegionHealth.UNHEALTHY, epoch=ANY, totals=ANY
        ), "deregistered before it drained"
    assert watcher.command("region", "delete", "north").code == Exit.OK
    assert region_of(watcher, "north") is None


def test_registrars_that_end_are_believed_however_many(fleet: Stage) -> None:
    """Three of five at once would be a storm, and held for a minute, if they had vanished."""
    gateway = fleet.gateways[0]
    with ExitStack() as stack:
        for name in ("one", "two", "three"):
            stack.enter_context(registered(gateway, stack.enter_context(Sink()), "east", name))
        until(lambda: gateway.sees(5), "all are in the view")
    until(lambda: gateway.sees(2), "all have left it")


def test_regions_by_hand(fleet: Stage) -> None:
    gateway = fleet.gateways[2]
    said = gateway.command("region", "create", "moon")
    assert (said.code, said.out) == (Exit.OK, "region moon is created\n")
    assert gateway.command("region", "create", "moon").code == Exit.REFUSED
    rows = {line.split()[0]: line.split()[1:] for line in gateway.command("region", "list").out.splitlines()}
    assert rows["moon"] == ["0", "0", "-", "by", "hand"]
    assert rows["east"][:2] == ["2", "2"]
    said = gateway.command("region", "delete", "east")
    assert said.code == Exit.REFUSED
    assert "east-0" in said.err
    assert gateway.command("region", "delete", "moon").code == Exit.OK
    assert "moon" not in gateway.command("region", "list").out


def test_two_with_one_id_are_told_and_serve_on(fleet: Stage) -> None:
    """The second one says so, though the first has nothing new to announce; spans flow through both, none is lost."""
    first = fleet.gateways[0]
    home = fleet.home / "twin"
    with FleetGateway(fleet.etcd, fleet.prefix, first.region, first.identity, home) as second:
        until(lambda: second.fleet.namesake, "the second one is told")
        (said,) = second.events("another gateway has the same id: the fleet sees one of the two")
        assert said["other"] == second.fleet.namesake
        assert second.fleet.namesake in second.ask("status").out
        before = [gateway.ledger() for gateway in (first, second)]
        with fleet.load(first, second) as load:
            until(lambda: second.ledger().forwarded > before[1].forwarded + 200, "spans flow")
        assert load.failed == 0
        after = [gateway.ledger() for gateway in (first, second)]
        assert sum(row.received for row in after) - sum(row.received for row in before) == load.sent
        assert [(row.dropped, row.rejected) for row in after] == [(row.dropped, row.rejected) for row in before]
    until(fleet.whole, "it was never more than a name")
