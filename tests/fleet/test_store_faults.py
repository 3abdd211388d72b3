"""The store burns: spans flow on by what was last known, and afterwards nothing that was said is missing.

Faults 4, 5 and 6 of the fault list, and those of etcd's own.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from sidecar.control.records import Blob
from sidecar.errors import Exit, GrpcStatus
from tests.coord.cluster import EtcdCluster
from tests.fleet.form import FORMS, Form
from tests.fleet.gauge import Gauge
from tests.fleet.member import FleetGateway
from tests.fleet.stage import REQUESTS_PER_S, Stage, staged
from tests.harness import otlp
from tests.harness.clients import Client
from tests.harness.patience import free_port

pytestmark = pytest.mark.process

LAST_GOOD = "last-good.json"


@pytest.fixture(scope="module")
def cluster(etcd_binary: Path) -> Iterator[EtcdCluster]:
    """Each test leaves it healthy."""
    with EtcdCluster.running(etcd_binary) as cluster:
        yield cluster


@pytest.fixture(scope="module", params=FORMS)
def pair(cluster: EtcdCluster, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """One region of two gateways; each test leaves it whole."""
    form: Form = request.param
    with staged(cluster, ("solo",), 2, settings={"coordination.timeout": "500ms"}, form=form) as stage:
        yield stage


def rate(value: float) -> str:
    return f"global:\n  sampling_rate: {value}\n"


def away(stage: Stage) -> bool:
    """Whether no gateway hears the store, and all say so."""
    return all(not fleet.connected and fleet.trouble for fleet in (gateway.fleet for gateway in stage.gateways))


def test_all_of_it_is_gone_for_a_while(cluster: EtcdCluster, pair: Stage) -> None:
    """Fault 4: no error at any client, the last rate and view hold, and what comes afterwards is taken."""
    pair.change(rate(0.5))
    relists = [gateway.fleet.relists for gateway in pair.gateways]
    with pair.accounted() as account:
        with pair.load() as load:
            for node in cluster.nodes:
                node.kill()
            pair.until(lambda: away(pair), "it is told that the store is away")
            pair.until(lambda: not any(gateway.fleet.led for gateway in pair.gateways), "and that nobody leads")
            for said in (pair.gateways[0].apply(rate(0.7)), pair.gateways[1].command("config", "get")):
                assert (said.code, said.out) == (Exit.STORE, "")
                assert "the store is away: " in said.err
                assert "nothing has been changed" in said.err
            pair.meanwhile(600, account)
            for gateway in pair.gateways:
                assert gateway.status().sampling_rate == 0.5
                assert gateway.fleet.members == 2
                assert gateway.metric("spangate_store_connected") == 0
                assert gateway.ready()
            cluster.start()
            pair.until(pair.whole, "the fleet is whole again")
            pair.change(rate(1.0))
        assert load.failed == 0
    assert account.received == load.sent
    assert account.split == set()
    mirrors = 2
    for gateway, before in zip(pair.gateways, relists, strict=True):
        assert gateway.fleet.relists <= before + mirrors, "no more than one listing each"


@pytest.mark.soak
def test_without_a_leader_each_keeps_to_its_share(cluster: EtcdCluster, pair: Stage) -> None:
    """Nobody leads while the store is away. Load grows, and is shed down to what the last target allows."""
    pair.change("global:\n  sampling_strategies: [{type: adaptive, min_rate: 0.001, target_qps: 500}]\n")
    with pair.accounted(), pair.load(per_trace=1, rate=60) as load:
        gauge = Gauge(pair)
        pair.until(lambda: gauge.holds(500), "the target is held")
        for node in cluster.nodes:
            node.kill()
        with pair.load(per_trace=1, rate=200):
            pair.until(lambda: not any(one.fleet.led for one in pair.gateways), "it is told that nobody leads")
            pair.until(lambda: all(map(shed, pair.gateways)), "each sheds")
            gauge = Gauge(pair)
            pair.until(lambda: gauge.at_most(1.2 * 500), "all together keep no more than the target")
        cluster.start()
        pair.until(lambda: pair.whole() and all(one.fleet.led for one in pair.gateways), "somebody leads again")
    assert load.failed == 0
    pair.change(rate(1.0))


def test_a_ceiling_is_shed_to_and_told(cluster: EtcdCluster, pair: Stage) -> None:
    """Nobody leads, load grows: whoever looks sees that spans are shed, and why. Afterwards nothing is."""
    pair.change("global:\n  rate_limiting: {max_qps: 400, burst_size: 400}\n")
    with pair.accounted() as account:
        with pair.load(per_trace=1) as load:
            pair.until(lambda: all(one.fleet.target_token for one in pair.gateways), "a target is told")
            pair.until(lambda: account.so_far()[0] > 1000, "each has its share of it")
            for node in cluster.nodes:
                node.kill()
            with pair.load(per_trace=1, rate=4 * REQUESTS_PER_S) as more:
                for gateway in pair.gateways:
                    pair.until(lambda: left(gateway) < 0.9, "spans are shed")  # noqa: B023
                    assert gateway.metric("spangate_shed_left", cause="ceiling", **{"class": "normal"}) < 1
                    assert gateway.metric("spangate_shed_left", cause="degradation", **{"class": "normal"}) == 1
                    assert "nobody leads, its own share  left: low" in gateway.ask("status").out
                before = [shed(gateway) for gateway in pair.gateways]
                pair.meanwhile(60, account)
                pair.until(lambda: all(map(int.__gt__, map(shed, pair.gateways), before)), "the ledger has them")
                cluster.start()
                pair.until(lambda: all(left(gateway) == 1 for gateway in pair.gateways), "nothing is shed any more")
        assert load.failed == more.failed == 0
    assert account.received == load.sent + more.sent
    pair.until(pair.whole, "the fleet is whole again")
    pair.change(rate(1.0))


def shed(gateway: FleetGateway) -> int:
    """Spans that were shed, by the ledger."""
    return gateway.services()["service-0"].sampled_out_by.get("shed", 0)


def left(gateway: FleetGateway) -> float:
    """The share of spans of normal priority that its ceiling leaves."""
    return gateway.status().foresight.shed.get("ceiling", {}).get("normal", 1.0)


def test_one_that_starts_without_a_store(pair: Stage) -> None:
    """Fault 5: by what it last knew, or, where it never knew anything, by its own file: without members, but alive."""
    pair.change(rate(0.25))
    left, taken = pair.gateways[0].home / LAST_GOOD, pair.home / "again"
    pair.until(lambda: left.exists() and b"sampling_rate: 0.25" in left.read_bytes(), "it is on disk")
    taken.mkdir()
    shutil.copy(left, taken)
    nowhere = {"coordination.endpoints": [f"127.0.0.1:{free_port()}"], "sampling.rate": 0.75}
    again, stranger = [pair.gateway("solo", name, settings=nowhere, alone=True) for name in ("again", "stranger")]
    with ThreadPoolExecutor() as pool, ExitStack() as stack:
        for gateway in pool.map(FleetGateway.__enter__, (again, stranger)):
            stack.push(gateway)
        pair.until(again.ready, "its backends are those of the last view")
        with Client(again.address) as client:
            assert client.export(otlp.spans(20)).status is GrpcStatus.OK
        assert (again.status().sampling_rate, stranger.status().sampling_rate) == (0.25, 0.75)
        assert stranger.page("/readyz") == (503, b"no backend is up\n")
        assert not again.fleet.connected
        again.begin_to_stop()
        stranger.begin_to_stop()
    pair.change(rate(1.0))


def test_members_die_in_turn(cluster: EtcdCluster, pair: Stage) -> None:
    """One of three is no loss, whoever it is: what is changed meanwhile is heard, no lease is lost."""
    losses = [gateway.fleet.lease_losses for gateway in pair.gateways]
    with pair.accounted() as account:
        with pair.load() as load:
            for number, node in enumerate(cluster.nodes, 1):
                node.kill()
                pair.change(rate(number / 10))
                pair.meanwhile(60, account)
                cluster.start(node)
            pair.change(rate(1.0))
        assert load.failed == 0
    assert account.received == load.sent
    assert account.split == set()
    assert [gateway.fleet.lease_losses for gateway in pair.gateways] == losses
    pair.until(pair.whole, "the fleet is whole again")


def test_a_member_freezes_and_then_all_but_one(cluster: EtcdCluster, pair: Stage) -> None:
    """Fault 6: connections stay open and nothing moves. One is gone round; without a majority nothing is believed."""
    first, *others = cluster.nodes
    with pair.accounted() as account:
        with pair.load() as load:
            with first.frozen():
                pair.change(rate(0.5))
                pair.meanwhile(60, account)
            with others[0].frozen(), others[1].frozen():
                pair.until(lambda: away(pair), "it is told that the store is away")
                pair.meanwhile(60, account)
            pair.change(rate(1.0))
        assert load.failed == 0
    assert account.received == load.sent
    pair.until(pair.whole, "the fleet is whole again")


def test_it_forgets_what_was_missed(cluster: EtcdCluster, pair: Stage) -> None:
    """Changes happen while nobody listens, and are compacted: all is listed anew."""
    pair.change(rate(0.5))
    relists = [gateway.fleet.relists for gateway in pair.gateways]
    _, value = pair.entry("config/global")
    former = msgspec.json.decode(value, type=Blob)
    with pair.accounted() as account:
        with pair.load() as load:
            with ExitStack() as stack:
                for gateway in pair.gateways:
                    stack.enter_context(gateway.frozen())
                for node in cluster.nodes:
                    node.kill()
                cluster.start()
                for number in range(1, 5):
                    body = rate(0.1 * number)
                    digest = hashlib.sha256(body.encode()).hexdigest()
                    blob = Blob(version=former.version + number, sha256=digest, body=body)
                    pair.put("config/global", msgspec.json.encode(blob))
                cluster.compact(pair.entry("config/global")[0])
            pair.until(lambda: pair.follows() and pair.even(), "the last one is taken")
            assert {gateway.status().sampling_rate for gateway in pair.gateways} == {0.4}
            assert all(gateway.fleet.relists > before for gateway, before in zip(pair.gateways, relists, strict=True))
            pair.change(rate(1.0))
            pair.meanwhile(60, account)
        assert load.failed == 0
    assert account.received == load.sent
    pair.until(pair.whole, "the fleet is whole again")


def test_it_loses_its_disk(cluster: EtcdCluster, pair: Stage) -> None:
    """All members come back empty: what holds goes on holding, everybody registers anew, and changes are heard."""
    pair.change(rate(0.5))
    epochs = [gateway.fleet.view_epochs["solo"] for gateway in pair.gateways]
    with pair.accounted() as account:
        with pair.load() as load:
            with ExitStack() as stack:
                for gateway in pair.gateways:  # who tries in vain meanwhile tries again later and later
                    stack.enter_context(gateway.frozen())
                for node in cluster.nodes:
                    node.kill()
                    node.wipe()
                cluster.start()
            pair.until(pair.whole, "all have registered anew")
            assert {gateway.status().sampling_rate for gateway in pair.gateways} == {0.5}
            assert [gateway.fleet.view_epochs["solo"] for gateway in pair.gateways] >= epochs
            pair.change(rate(1.0))
            pair.meanwhile(60, account)
        assert load.failed == 0
    assert account.received == load.sent
    assert account.split == set()
