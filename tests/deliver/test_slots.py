"""More backends change at once than there are slots: some wait, nothing raises, nothing is lost."""

from __future__ import annotations

import mmap
import random

import pytest

from sidecar._native.core import WorkerCore
from sidecar._native.engine import Engine
from sidecar._native.ledger import page_bytes
from sidecar.clock import SystemClock
from sidecar.config.schema import BackendConfig, DeliveryConfig, GatewayConfig
from sidecar.config.validate import BACKENDS_MAX
from sidecar.deliver import delivery
from sidecar.deliver.connector import Connector
from sidecar.deliver.delivery import Delivery
from sidecar.errors import GrpcStatus
from sidecar.model import Compression, Endpoint
from tests.harness import otlp
from tests.native.backend import Backend, Call
from tests.native.node import Node, configured
from tests.native.patience import until


@pytest.mark.parametrize("n", [600, BACKENDS_MAX])
async def test_all_of_very_many_are_replaced_again_and_again(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    monkeypatch.setattr(Connector, "dial", lambda self: None)
    core = WorkerCore(bytearray(page_bytes()), mmap.mmap(-1, mmap.PAGESIZE))
    engine = Engine(core)
    made = Delivery(core, engine, "test", SystemClock(), random.Random(1))
    for turn in range(3):
        owners = [Endpoint(f"host-{turn}-{i}", 1) for i in range(n)]
        made.use(GatewayConfig(), owners)
        settled(made)
        assert set(made._by_address) == set(owners), "what has left has made room"
        changed = GatewayConfig(backends=tuple(BackendConfig(address=o, max_message_bytes=turn + 1024) for o in owners))
        made.use(changed, owners)
        settled(made)
        assert {one.config.max_message_bytes for one in made._by_address.values()} == {turn + 1024}
    assert len(made._by_slot) == n
    engine.close()


def settled(made: Delivery) -> None:
    """Ticks until nobody waits and who had to leave has left."""
    for _ in range(20):
        made.tick()
        if not made._waiting and len(made._by_slot) == len(made._owners):
            return
    raise AssertionError("it does not settle")


async def test_new_ones_wait_for_those_that_still_have_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two slots, and their backends are busy: what comes for the new ones waits, and arrives."""
    monkeypatch.setattr(delivery, "SLOTS", 2)
    held: list[Call] = []
    async with (
        Backend(held.append) as a,
        Backend(held.append) as b,
        Backend() as c,
        Backend() as d,
        Node(configured([a, b])) as node,
    ):
        peer = await node.peer()
        early = peer.export(otlp.spans(40, per_trace=1))
        await until(lambda: len(held) == 2, "both have a call open")
        await node.use(configured([c, d]))
        late = peer.export(otlp.spans(40, per_trace=1))
        await until(lambda: node.books().get("in_flight") == 80, "it waits")
        assert not c.sessions
        assert not d.sessions
        held[0].ok()
        await until(lambda: len(c.sessions + d.sessions) == 1, "one has a slot")
        assert (await late.done()).status is GrpcStatus.OK, "and takes it for both"
        held[1].ok()
        assert (await early.done()).status is GrpcStatus.OK
        await until(lambda: connected(node) == {c.port, d.port}, "both have a slot")
        assert (await peer.exported(otlp.spans(40, per_trace=1))).status is GrpcStatus.OK
        assert c.calls
        assert d.calls
        assert node.books() == {"received": 120, "forwarded": 120}


def connected(node: Node) -> set[int]:
    """The ports of the backends that have answered."""
    return {address.port for address, one in node.worker._delivery._by_address.items() if one.connected}


async def test_a_changed_one_stays_as_it_is_while_there_is_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "SLOTS", 1)
    async with Backend() as backend, Node(configured([backend])) as node:
        peer = await node.peer()
        config = configured([backend])
        changed = GatewayConfig(
            backends=(BackendConfig(address=config.backends[0].address, compression=Compression.GZIP),)
        )
        await node.use(changed)
        for _ in range(3):
            assert (await peer.exported(otlp.spans(3))).status is GrpcStatus.OK
        assert {call.headers.get("grpc-encoding") for call in backend.calls} == {None}
        monkeypatch.setattr(delivery, "SLOTS", 2)
        await until(lambda: len(backend.sessions) == 2, "there is a slot")
        await until(lambda: sum(row.up for row in node.page.backends()) == 1, "it is up")
        assert (await peer.exported(otlp.spans(3))).status is GrpcStatus.OK
        assert backend.calls[-1].headers.get("grpc-encoding") == "gzip"


async def test_compression_of_delivery_is_that_of_every_backend_without_its_own() -> None:
    async with Backend() as backend, Node(configured([backend])) as node:
        peer = await node.peer()
        gzip = configured([backend], delivery=DeliveryConfig(compression=Compression.GZIP))
        await node.use(gzip)
        await until(lambda: len(backend.sessions) == 2, "it is replaced")
        await until(lambda: sum(row.up for row in node.page.backends()) == 1, "it is up")
        assert (await peer.exported(otlp.spans(3))).status is GrpcStatus.OK
        assert backend.calls[-1].headers.get("grpc-encoding") == "gzip"
