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
from tests.fleet.gauge import Gauge
from tests.fleet.member import FleetGateway
from tests.fleet.stage import Stage, staged
from tests.harness import otlp
from tests.harness.clients import Client
from tests.harness.patience import LIMIT_S, free_port, until

pytestmark = pytest.mark.process

LAST_GOOD = "last-good.json"


@pytest.fixture(scope="module")
def cluster(etcd_binary: Path) -> Iterator[EtcdCluster]:
    """Each test leaves it healthy."""
    with EtcdCluster.running(etcd_binary) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def pair(cluster: EtcdCluster) -> Iterator[Stage]:
    """One region of two gateways; each test leaves it whole."""
    with staged(cluster, ("solo",), 2, settings={"coordination.timeout": "500ms"}) as stage:
        yield stage


def rate(value: float) -> str:
    return f"global:\n  sampling_rate: {value}\n"


def away(stage: Stage) -> bool:
    """Whether no gateway hears the store, and all say so."""
    return all(not fleet.connected and fleet.trouble for fleet in (gateway.fleet for gateway in stage.gateways))


def follows(stage: Stage) -> bool:
    """Whether every gateway goes by what the store has now: nothing that was said is missing."""
    revision, value = stage.entry("config/global")
    version = msgspec.json.decode(value, type=Blob).version
    scopes = [gateway.fleet.scopes["global"] for gateway in stage.gateways]
    return all((scope.applied_version, scope.applied_revision) == (version, revision) for scope in scopes)


def change(stage: Stage, text: str) -> None:
    """Applies a configuration, as often as it takes, and waits until all go by it."""
    until(lambda: stage.gateways[0].apply(text, "--wait", "0s").code == Exit.OK, "the store takes it")
    until(lambda: follows(stage) and stage.even(), "all follow")


def sheds(gateway: FleetGateway) -> bool:
    """Whether it has ever kept less than its rates say."""
    return any(row.sampled_out_by.get("shed") for row in gateway.services().values())


@pytest.mark.parametrize("spans", [500, pytest.param(480_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
def test_all_of_it_is_gone_for_a_while(cluster: EtcdCluster, pair: Stage, spans: int) -> None:
    """Fault 4: no error at any client, the last rate and view hold, and what comes afterwards is taken.

    480,000 spans are ten minutes.
    """
    change(pair, rate(0.5))
    with pair.accounted() as account:
        with pair.load() as load:
            for node in cluster.nodes:
                node.kill()
            until(lambda: away(pair), "it is told that the store is away")
            until(lambda: not any(gateway.fleet.led for gateway in pair.gateways), "and that nobody leads")
            received = account.so_far()[0]
            for said in (pair.gateways[0].apply(rate(0.7)), pair.gateways[1].command("config", "get")):
                assert (said.code, said.out) == (Exit.STORE, "")
                assert "the store is away: " in said.err
                assert "nothing has been changed" in said.err
            until(lambda: account.so_far()[0] > received + spans, "spans flow on", limit_s=LIMIT_S + spans / 500)
            for gateway in pair.gateways:
                assert gateway.status().sampling_rate == 0.5
                assert gateway.fleet.members == 2
                assert gateway.metric("spangate_store_connected") == 0
                assert gateway.ready()
            cluster.start()
            until(pair.whole, "the fleet is whole again")
            change(pair, rate(1.0))
        assert load.failed == 0
    assert account.received == load.sent
    assert account.split == set()


@pytest.mark.soak
def test_without_a_leader_each_keeps_to_its_share(cluster: EtcdCluster, pair: Stage) -> None:
    """Nobody leads while the store is away. Load grows, and is shed down to what the last target allows."""
    change(pair, "global:\n  sampling_strategies: [{type: adaptive, min_rate: 0.001, target_qps: 500}]\n")
    with pair.accounted(), pair.load(per_trace=1, rate=60) as load:
        gauge = Gauge(pair)
        until(lambda: gauge.holds(500), "the target is held")
        for node in cluster.nodes:
            node.kill()
        with pair.load(per_trace=1, rate=200):
            until(lambda: not any(one.fleet.led for one in pair.gateways), "it is told that nobody leads")
            until(lambda: all(map(sheds, pair.gateways)), "each sheds")
            gauge = Gauge(pair)
            until(lambda: gauge.at_most(1.2 * 500), "all together keep no more than the target")
        cluster.start()
        until(lambda: pair.whole() and all(one.fleet.led for one in pair.gateways), "somebody leads again")
    assert load.failed == 0
    change(pair, rate(1.0))


def test_one_that_starts_without_a_store(pair: Stage) -> None:
    """Fault 5: by what it last knew, or, where it never knew anything, by its own file: without members, but alive."""
    change(pair, rate(0.25))
    left, taken = pair.gateways[0].home / LAST_GOOD, pair.home / "again"
    until(lambda: left.exists() and b"sampling_rate: 0.25" in left.read_bytes(), "it is on disk")
    taken.mkdir()
    shutil.copy(left, taken)
    nowhere = {"coordination.endpoints": [f"127.0.0.1:{free_port()}"], "sampling.rate": 0.75}
    again, stranger = [pair.gateway("solo", name, settings=nowhere, alone=True) for name in ("again", "stranger")]
    with ThreadPoolExecutor() as pool, ExitStack() as stack:
        for gateway in pool.map(FleetGateway.__enter__, (again, stranger)):
            stack.push(gateway)
        until(again.ready, "its backends are those of the last view")
        with Client(again.address) as client:
            assert client.export(otlp.spans(20)).status is GrpcStatus.OK
        assert (again.status().sampling_rate, stranger.status().sampling_rate) == (0.25, 0.75)
        assert stranger.page("/readyz") == (503, b"no backend is up\n")
        assert not again.fleet.connected
        again.begin_to_stop()
        stranger.begin_to_stop()
    change(pair, rate(1.0))


def test_a_member_freezes_and_then_all_but_one(cluster: EtcdCluster, pair: Stage) -> None:
    """Fault 6: connections stay open and nothing moves. One is gone round; without a majority nothing is believed."""
    first, *others = cluster.nodes
    with pair.accounted() as account:
        with pair.load() as load:
            with first.frozen():
                change(pair, rate(0.5))
            with others[0].frozen(), others[1].frozen():
                until(lambda: away(pair), "it is told that the store is away")
                received = account.so_far()[0]
                until(lambda: account.so_far()[0] > received + 200, "spans flow on")
            change(pair, rate(1.0))
        assert load.failed == 0
    assert account.received == load.sent
    until(pair.whole, "the fleet is whole again")


def test_it_forgets_what_was_missed(cluster: EtcdCluster, pair: Stage) -> None:
    """Changes happen while nobody listens, and are compacted: all is listed anew."""
    change(pair, rate(0.5))
    relists = [gateway.fleet.relists for gateway in pair.gateways]
    _, value = pair.entry("config/global")
    former = msgspec.json.decode(value, type=Blob)
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
    until(lambda: follows(pair) and pair.even(), "the last one is taken")
    assert {gateway.status().sampling_rate for gateway in pair.gateways} == {0.4}
    assert all(gateway.fleet.relists > before for gateway, before in zip(pair.gateways, relists, strict=True))
    change(pair, rate(1.0))
    until(pair.whole, "the fleet is whole again")


def test_it_loses_its_disk(cluster: EtcdCluster, pair: Stage) -> None:
    """All members come back empty: what holds goes on holding, everybody registers anew, and changes are heard."""
    change(pair, rate(0.5))
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
            until(pair.whole, "all have registered anew")
            assert {gateway.status().sampling_rate for gateway in pair.gateways} == {0.5}
            assert [gateway.fleet.view_epochs["solo"] for gateway in pair.gateways] >= epochs
            change(pair, rate(1.0))
        assert load.failed == 0
    assert account.received == load.sent
    assert account.split == set()
