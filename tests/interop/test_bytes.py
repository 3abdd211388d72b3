"""What no SDK sends today: fields that OTLP has not got yet, at every level, in every wire type."""

import os
from collections import Counter

import grpc
import pytest

from sidecar.errors import GrpcStatus
from sidecar.model import Signal
from tests.harness import otlp, tap
from tests.harness.clients import Client
from tests.harness.gateway import Gateway
from tests.harness.proxy import Proxy
from tests.harness.sink import Sink, arrived, backends
from tests.interop.lane import Lane
from tests.kernels.wire import FIXED32, FIXED64, GROUP, field, varint

pytestmark = pytest.mark.process

GROUP_END = varint(777 << 3 | 4)
NEW = field(900, b"new") + field(901, 7) + field(902, 7, FIXED32) + field(903, 7, FIXED64) + field(2000, b"\xff\x00")
NEW += field(777, field(1, 5) + field(2, b"in a group") + GROUP_END, GROUP)
ITEM_IDS = {Signal.TRACES: (1, 2), Signal.LOGS: (9, 10), Signal.METRICS: ()}


def strange_item(signal: Signal) -> bytes:
    ids = [field(number, os.urandom(size)) for number, size in zip(ITEM_IDS[signal], (16, 8), strict=False)]
    name = field(5, os.urandom(8).hex().encode()) if signal is Signal.TRACES else b""
    point = field(5, field(1, field(6, 7, FIXED64) + NEW) + NEW) if signal is Signal.METRICS else b""
    return NEW + b"".join(ids) + name + point + NEW


def strange_request(signal: Signal) -> bytes:
    """Three resources with two scopes each; the first of each has its fields in the wrong order, and in two pieces."""
    resources = b""
    for i in range(3):
        resource = field(1, field(1, otlp.text("service.name", f"shop-{i}")) + NEW)
        more = field(1, field(1, otlp.text("zone", "a")))
        scopes = []
        for k in range(2):
            head = field(1, field(1, b"scope") + NEW) + field(3, b"https://schema") + NEW
            scoped = b"".join(field(2, strange_item(signal)) for _ in range(12))
            scopes.append(field(2, scoped + head if k == 0 else head + scoped))
        resources += field(1, scopes[0] + NEW + resource + scopes[1] + more + field(3, b"https://schema"))
    return resources + NEW


@pytest.mark.parametrize("signal", ITEM_IDS, ids=str)
@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip], ids=["plain", "gzip"])
def test_unknown_fields_arrive(lane: Lane, signal: Signal, compression: grpc.Compression) -> None:
    requests = [strange_request(signal) for _ in range(5)]
    with Client(lane.address, compression) as client:
        assert {client.export(request, signal).status for request in requests} == {GrpcStatus.OK}
    found = lane.settle(signal, at_least=5 * 72)
    assert found == otlp.counted(requests)
    bodies = [body for sink in lane.sinks for body in sink.bodies(signal)]
    assert {otlp.strange(body) for body in bodies} == {NEW}


def sent_through(gateway: Gateway, signal: Signal, n: int) -> Counter[otlp.Item]:
    requests = [otlp.MAKE[signal](40) for _ in range(n)] + [strange_request(signal)]
    with Client(gateway.address) as client:
        assert {client.export(request, signal).status for request in requests} == {GrpcStatus.OK}
    return otlp.counted(requests)


def test_gzip_towards_backends() -> None:
    with (
        backends(2) as sinks,
        Proxy(sinks[0].port, tap=True) as first,
        Proxy(sinks[1].port, tap=True) as second,
        Gateway([first.port, f"127.0.0.1:{second.port},compression=none"], "--compression", "gzip") as gateway,
    ):
        sent = {signal: sent_through(gateway, signal, 10) for signal in ITEM_IDS}
        assert {signal: arrived(sinks, signal) for signal in ITEM_IDS} == sent
        assert {message.compressed for message in tap.messages(first.tapped)} == {True}
        assert {message.compressed for message in tap.messages(second.tapped)} == {False}
        assert first.upward < sum(len(r.body) for r in sinks[0].received) / 2


def test_headers_of_a_backend_and_none_of_a_client() -> None:
    with Sink() as sink, Gateway([f"127.0.0.1:{sink.port},header.api-key=secret"]) as gateway:
        with grpc.insecure_channel(gateway.address) as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(otlp.METHODS[Signal.TRACES])
            call(otlp.spans(1), metadata=(("authorization", "Bearer of-the-client"),), timeout=10)
        (received,) = sink.received
        assert received.metadata["api-key"] == "secret"
        assert str(received.metadata["user-agent"]).startswith("spangate/")
        assert "authorization" not in received.metadata
        assert b"secret" not in gateway.page("/config")[1] + gateway.page("/status")[1]
        assert "secret" not in gateway.log_text()
