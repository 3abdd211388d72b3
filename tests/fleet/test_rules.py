"""Routing rules: services that go to another region, and back while that one has nobody to take them."""

from __future__ import annotations

import pytest

from sidecar.errors import GrpcStatus
from tests.fleet.stage import Account, Stage
from tests.harness import otlp
from tests.harness.clients import Client
from tests.harness.patience import until

pytestmark = pytest.mark.process

RULES = """
global:
  routing_rules:
    - {service: "batch-*", target_region: west, priority: low}
    - {service: "batch-here", target_region: east, priority: low}
    - {service: "nowhere", target_region: atlantis}
"""


def send(fleet: Stage, *services: str) -> set[int]:
    """A request of each service to a gateway of the east; the sinks that then have some of it."""
    account = Account(fleet)
    with Client(fleet.of("east")[0].address) as client:
        for service in services:
            assert client.export(otlp.spans(400, service=service)).status is GrpcStatus.OK
    account.look()
    assert account.split == set()
    return {index for sinks in account.owners.values() for index in sinks}


def test_services_go_where_rules_send_them(fleet: Stage) -> None:
    east, west = {0, 1}, {2, 3}
    with fleet.accounted():
        assert send(fleet, "batch-1") == east
        fleet.apply(RULES)
        gateway = fleet.of("east")[0]
        until(lambda: set(gateway.fleet.view_epochs) >= {"east", "west"}, "it follows the view of the west")
        until(lambda: sum(one.up for one in gateway.status().backends) == 4, "it reaches the collectors there")
        assert send(fleet, "batch-1", "batch-2") == west
        assert send(fleet, "batch-here", "shop") == east
        told = gateway.explain(service="batch-1", trace_id="ab" * 16)
        assert (told["region"], told["rule"]) == ("west", "batch-*")
        assert told["owner"] in {"west-0-collector", "west-1-collector"}


def test_the_own_region_takes_them_while_that_one_has_nobody(fleet: Stage) -> None:
    east, west = {0, 1}, {2, 3}
    fleet.apply(RULES)
    gateway = fleet.of("east")[0]
    until(lambda: sum(one.up for one in gateway.status().backends) == 4, "it reaches the collectors of the west")
    with fleet.accounted(duplicates=True):
        assert gateway.fleet.fallbacks == ("atlantis",)
        assert send(fleet, "nowhere") == east
        for sink in fleet.sinks_of("west"):
            sink.stop()
        try:
            until(lambda: "west" in gateway.fleet.fallbacks, "it falls back")
            assert send(fleet, "batch-1") == east
            assert gateway.metric("spangate_region_fallback", region="west") == 1
            assert gateway.explain(service="batch-1", trace_id="ab" * 16)["region"] == "east"
        finally:
            for sink in fleet.sinks_of("west"):
                sink.start()
        until(lambda: "west" not in gateway.fleet.fallbacks and fleet.whole(), "the west is back")
        until(lambda: sum(one.up for one in gateway.status().backends) == 4, "it reaches the collectors there")
        until(lambda: send(fleet, "batch-1") == west, "they go there again")
        assert gateway.metric("spangate_region_fallback", region="west") == 0
