"""Who owns a trace: one function of the view, the same at every gateway, that moves no more than it has to."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from sidecar.errors import GrpcStatus
from tests.faults.books import fresh
from tests.fleet.member import FleetGateway, registered
from tests.fleet.stage import Account, Stage
from tests.harness import otlp
from tests.harness.clients import Client
from tests.harness.patience import until
from tests.harness.sink import Sink

pytestmark = pytest.mark.process


def through_both(fleet: Stage, region: str, traces: list[bytes]) -> None:
    """A span of each trace by every gateway of the region."""
    for gateway in fleet.of(region):
        with Client(gateway.address) as client:
            body = otlp.request(otlp.span(trace_id, os.urandom(8)) for trace_id in traces)
            assert client.export(body).status is GrpcStatus.OK


def owners(gateway: FleetGateway, traces: list[bytes]) -> dict[bytes, str]:
    """The id of the collector that each trace goes to, as the gateway says."""
    return {trace_id: gateway.explain(trace_id=trace_id.hex())["owner"] for trace_id in traces}


def places(fleet: Stage, account: Account) -> Counter[int]:
    """How many traces each sink has."""
    return Counter(index for sinks in account.owners.values() for index in sinks)


def test_a_trace_that_enters_through_both_has_one_owner(fleet: Stage) -> None:
    traces = fresh(200)
    with fleet.accounted() as account:
        through_both(fleet, "east", traces)
    assert fleet.of("east")[0].fleet.view_epochs == fleet.of("east")[1].fleet.view_epochs
    assert account.split == set()
    assert set(account.owners) == set(traces)
    assert min(places(fleet, account).values()) > 60


def test_also_while_a_collector_is_down(fleet: Stage) -> None:
    """It dies under load: nothing is lost, and once the view says that it is down all go round it alike."""
    sink, other = fleet.sinks_of("east")
    first, second = fleet.of("east")
    epoch = first.fleet.view_epochs["east"]
    with fleet.accounted(duplicates=True), fleet.load(first, second) as load:
        until(lambda: len(sink.received) > 10, "both are at work")
        sink.stop()
        try:
            until(lambda: first.sees(2, down=1) and second.sees(2, down=1), "both pass it over")
            assert first.fleet.view_epochs["east"] == second.fleet.view_epochs["east"] > epoch
            found = {one.record.service.id: one for one in first.topology().regions[0].collectors}
            assert found["east-0-collector"].health == "unhealthy"
            assert found["east-0-collector"].reason
            fleet.steady()
            traces = fresh(100)
            account = Account(fleet)
            through_both(fleet, "east", traces)
            account.look()
            assert all(account.owners[trace_id] == {fleet.sinks.index(other)} for trace_id in traces)
        finally:
            sink.start()
        until(fleet.whole, "it is back")
        fleet.steady()
    assert load.failed == 0


def test_one_who_joins_and_leaves_takes_its_share_and_gives_it_back(fleet: Stage) -> None:
    """Fault 22: what moves is what the third one owns, nothing else, there, while it is down, and back."""
    traces = fresh(200)
    first, second = fleet.of("west")
    before = owners(first, traces)
    with Sink() as third:
        with registered(first, third, "west", "third"):
            until(lambda: first.sees(3) and second.sees(3), "it has joined")
            between = owners(first, traces)
            assert between == owners(second, traces)
            own = {trace_id for trace_id in traces if between[trace_id] == "third"}
            assert {trace_id for trace_id in traces if between[trace_id] != before[trace_id]} == own
            assert 35 < len(own) < 105
            third.stop()
            until(lambda: first.sees(3, down=1) and second.sees(3, down=1), "it is passed over")
            assert owners(first, traces) == owners(second, traces) == before
        until(lambda: first.sees(2) and second.sees(2), "it has left")
    assert owners(first, traces) == owners(second, traces) == before
