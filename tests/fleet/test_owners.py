"""Who owns a trace: one function of the view, the same at every gateway, that moves no more than it has to."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import ExitStack

import pytest

from sidecar.errors import GrpcStatus
from tests.coord.cluster import EtcdCluster
from tests.faults.books import fresh
from tests.fleet.member import FleetGateway, registered
from tests.fleet.stage import Account, Stage, staged
from tests.harness import otlp
from tests.harness.clients import Client, Clients
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


class Conversations:
    """Traces that are under way: every request has a span of each, with the time at which it began; then one ends."""

    def __init__(self) -> None:
        self._traces = fresh(8)

    def __call__(self) -> bytes:
        time.sleep(0.005)  # of a client's own time, so that the traces live for some tenths of a second
        now_ns = time.time_ns()
        body = otlp.request(otlp.span(trace_id, os.urandom(8), start_ns=now_ns) for trace_id in self._traces)
        self._traces = self._traces[1:] + fresh(1)
        return body


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_coming_and_going_under_load(etcd: EtcdCluster) -> None:
    """Fault 22: nothing is lost. With notice a trace that has begun stays where it is, unless that is who leaves."""
    notice_s, window_s = 0.2, 0.6
    settings = {"routing.effective_in": f"{notice_s}s", "routing.affinity_window": f"{window_s}s"}
    with staged(etcd, ("solo",), 2, settings=settings) as stage, Sink() as third:
        first, second = stage.gateways
        third_place = len(stage.sinks)
        stage.sinks.append(third)
        with stage.accounted() as account, ExitStack() as stack:
            clients = [stack.enter_context(Clients(one.address, 1, Conversations())) for one in stage.gateways]
            leavers: set[bytes] = set()
            for _ in range(20):
                before = len(third.received)
                with registered(first, third, "solo", "third"):
                    until(lambda: first.sees(3) and second.sees(3), "it has joined")
                    until(lambda: len(third.received) > before + 10, "it has its share")  # noqa: B023
                    stage.steady(notice_s + window_s)
                    account.look()
                    assert account.split == leavers, "nothing is split by who joins"
                until(lambda: first.sees(2) and second.sees(2), "it has left")
                stage.steady(notice_s + window_s)
                account.look()
                leavers = account.split
                assert all(third_place in account.owners[trace] for trace in leavers), "and by who leaves its own"
        assert not any(one.failures for one in clients)
        assert account.received == sum(len(one.acknowledged) for one in clients)
