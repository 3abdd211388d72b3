"""Scenario: connections grow old, are drained, go silent, or attack. Guarantees: no open stream loses its answer, and
whoever floods is cut off."""

from __future__ import annotations

import asyncio
import itertools
import struct

import pytest

from sidecar.config.schema import ReceiverConfig
from sidecar.errors import GrpcStatus
from sidecar.model import Signal
from sidecar.orders import Drained
from tests.harness.otlp import METHODS, spans
from tests.native.backend import Backend, Call
from tests.native.node import Node, configured
from tests.native.patience import until
from tests.native.peer import Peer, framed

EVERYTHING = (1 << 31) - 1  # a GOAWAY that excludes no stream
TRACES = METHODS[Signal.TRACES]


async def closed(peer: Peer, limit_s: float = 5.0) -> None:
    await asyncio.wait_for(peer.closed.wait(), limit_s)


# ---- the end


async def test_a_drain_costs_no_client_a_span(node: Node, backend: Backend) -> None:
    held: list[Call] = []
    backend.script = held.append
    peer, idle = await node.peer(), await node.peer()
    begun = peer.begin(TRACES)
    peer.send(begun, framed(spans(3))[:40], end=False)
    sent = peer.export(spans(2))
    await until(lambda: held, "a call is open")
    node.begin_to_drain(5)
    await until(lambda: peer.goaways, "the client is asked to go")
    assert peer.goaways == [(EVERYTHING, 0)]
    late = peer.export(spans(1))  # crossed with the GOAWAY
    peer.send(begun, framed(spans(3))[40:], end=True)
    backend.script = Call.ok
    held[0].ok()
    answers = [await answer.done() for answer in (sent, late, peer.answers[begun])]
    # What was begun before is another message than its first bytes: refused, but answered.
    assert [answer.status for answer in answers[:2]] == [GrpcStatus.OK] * 2
    assert "grpc-status" in answers[2].said
    await closed(peer)
    await closed(idle)
    assert [code for _, code in peer.goaways] == [0, 0]
    await node.end()
    await node.reported(Drained(0))
    assert node.books()["forwarded"] >= 3


async def test_a_drain_waits_for_the_answer_to_its_ping(node: Node) -> None:
    """Before that, requests may be on their way from a client that has not seen the GOAWAY."""
    peer = await node.peer()
    peer.answers_pings = False
    assert (await peer.exported(spans(1))).status == GrpcStatus.OK
    node.begin_to_drain(5)
    await until(lambda: peer.goaways and peer.pings, "the client is asked to go")
    for _ in range(3):
        assert (await peer.exported(spans(1))).status == GrpcStatus.OK
    assert not peer.closed.is_set()
    peer.raw(b"\0\0\x08\x06\x01\0\0\0\0" + bytes(8))
    await closed(peer)
    await node.end()
    assert node.books() == {"received": 4, "forwarded": 4}


async def test_new_connections_are_refused_while_draining(node: Node, backend: Backend) -> None:
    held: list[Call] = []
    backend.script = held.append
    peer = await node.peer()
    answer = peer.export(spans(1))
    await until(lambda: held, "a call is open")
    node.begin_to_drain(5)
    await until(lambda: peer.goaways, "the client is asked to go")
    with pytest.raises(ConnectionError):
        await node.peer()
    held[0].ok()
    assert (await answer.done()).status == GrpcStatus.OK
    await node.end()


async def test_health_says_not_serving_while_draining(node: Node) -> None:
    peer = await node.peer()
    peer.answers_pings = False
    assert (await peer.exported(spans(1))).status == GrpcStatus.OK
    node.begin_to_drain(5)
    await until(lambda: peer.goaways, "the client is asked to go")
    answer = await peer.call("/grpc.health.v1.Health/Check", framed(b"")).done()
    assert answer.message == b"\x08\x02"


async def test_a_drain_that_runs_out_of_time(node: Node, backend: Backend) -> None:
    """What is under way is given up: told to those who wait, and in the books."""
    held: list[Call] = []
    backend.script = held.append
    peer = await node.peer()
    answer = peer.export(spans(7))
    await until(lambda: held, "a call is open")
    await node.drain(0.1)
    await answer.done()
    assert answer.lost or answer.status == GrpcStatus.UNAVAILABLE
    assert sum(row.in_flight for row in node.rows()) == 0, node.rows()
    assert node.books()["received"] == 7


async def test_an_old_connection_is_asked_to_go(backend: Backend) -> None:
    receiver = ReceiverConfig(connection_max_age_s=0.2)
    async with Node(configured([backend], receiver=receiver)) as node:
        peer = await node.peer()
        assert (await peer.exported(spans(1))).status == GrpcStatus.OK
        await closed(peer)
        assert peer.goaways[0] == (EVERYTHING, 0)
        assert (await (await node.peer()).exported(spans(1))).status == GrpcStatus.OK


async def test_an_old_connection_that_does_not_go(backend: Backend) -> None:
    receiver = ReceiverConfig(connection_max_age_s=0.2, connection_max_age_grace_s=0.2)
    async with Node(configured([backend], receiver=receiver)) as node:
        peer = await node.peer()
        peer.begin(TRACES)
        await closed(peer)
        assert peer.goaways


# ---- signs of life


async def test_the_ping_of_a_client_is_answered(node: Node) -> None:
    peer = await node.peer()
    for i in range(5):
        peer.h2.ping(struct.pack(">Q", i))
    peer.flush()
    await until(lambda: peer.pongs == 5, "the pings are answered")


async def test_a_silent_client_is_pinged(backend: Backend) -> None:
    receiver = ReceiverConfig(keepalive_time_s=0.2, keepalive_timeout_s=0.2)
    async with Node(configured([backend], receiver=receiver)) as node:
        alive, dead = await node.peer(), await node.peer()
        dead.answers_pings = False
        await until(lambda: alive.pings, "it is pinged")
        await closed(dead)
        await until(lambda: alive.pings >= 2, "it is pinged again")
        assert (await alive.exported(spans(1))).status == GrpcStatus.OK


# ---- attacks


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


DATA, HEADERS, PRIORITY, RST, SETTINGS, PING, CONTINUATION = 0, 1, 2, 3, 4, 6, 9
FLOODS = {
    "ping": frame(PING, 0, 0, bytes(8)),
    "settings": frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)),
    "empty settings": frame(SETTINGS, 0, 0),
    "priority": frame(PRIORITY, 0, 1, bytes(5)),
    "empty data": frame(DATA, 0, 1),
}


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_of_frames_that_carry_no_work(node: Node, name: str, reads: bool) -> None:
    good, peer = await node.peer(), await node.peer()
    peer.begin(TRACES)
    assert peer.transport is not None
    if not reads:
        peer.transport.pause_reading()
    for _ in range(40):
        peer.raw(FLOODS[name] * 1000)
        await asyncio.sleep(0)
    await until(lambda: node.worker._engine.connections() == 1, "the flood is cut off")
    assert (await good.exported(spans(1))).status == GrpcStatus.OK
    assert node.page.worker().protocol_errors == 1


async def test_a_flood_of_streams_that_are_reset(node: Node) -> None:
    """CVE-2023-44487."""
    good, peer = await node.peer(), await node.peer()
    for _ in range(40):
        for _ in range(100):
            peer.reset(peer.begin(TRACES))
        await asyncio.sleep(0)
        if peer.closed.is_set():
            break
    await closed(peer)
    assert (await good.exported(spans(1))).status == GrpcStatus.OK


async def test_a_flood_of_continuations(node: Node) -> None:
    """CVE-2024-27316, and its like."""
    good, peer = await node.peer(), await node.peer()
    peer.raw(frame(HEADERS, 0, 1, b"\x83\x86") + frame(CONTINUATION, 0, 1) * 1000)
    await closed(peer)
    assert (await good.exported(spans(1))).status == GrpcStatus.OK


async def test_headers_without_an_end(node: Node) -> None:
    """A header block over the limit that was announced (16 KB)."""
    good, peer = await node.peer(), await node.peer()
    stream = peer.begin(TRACES, [(f"x-{i}", "y" * 1000) for i in range(200)])
    peer.send(stream, framed(spans(1)), end=True)
    await until(lambda: peer.closed.is_set() or peer.answers[stream].over.is_set(), "it is refused")
    assert (await good.exported(spans(1))).status == GrpcStatus.OK
    assert node.books() == {"received": 1, "forwarded": 1}


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", bytes(100)])
async def test_what_is_no_http2(node: Node, noise: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(noise)
    await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await until(lambda: node.page.worker().protocol_errors == 1, "it is counted")


@pytest.mark.parametrize(
    "bad",
    [
        frame(DATA, 0, 0, b"x"),  # data of no stream
        frame(HEADERS, 4, 2, b"\x83\x86"),  # an even stream
        frame(SETTINGS, 0, 1),
        frame(PING, 0, 0, b"1234567"),
        frame(8, 0, 0, bytes(4)),  # WINDOW_UPDATE by nothing
        frame(HEADERS, 4, 1, b"\xff" * 20),  # no HPACK
        frame(5, 0, 1, bytes(8)),  # PUSH_PROMISE
        b"\xff\xff\xff" + frame(DATA, 0, 1)[3:],  # a frame of 16 MB
    ],
)
async def test_frames_against_the_protocol(node: Node, bad: bytes) -> None:
    peer = await node.peer()
    peer.raw(bad)
    await closed(peer)
    assert peer.goaways[-1][1] != 0
    assert node.page.worker().protocol_errors == 1


def literal(name: bytes, value: bytes) -> bytes:
    """A header that no table remembers."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


async def test_a_client_that_never_reads(backend: Backend) -> None:
    """Its answers wait, and it is not read from for so long: nothing grows."""
    block = literal(b":method", b"POST") + literal(b":scheme", b"http") + literal(b":path", b"/nobody/Knows")
    async with Node(configured([backend]), send_buffer=4096) as node:
        good, peer = await node.peer(), await node.peer(receive_buffer=4096)
        assert peer.transport is not None
        peer.transport.pause_reading()
        numbers = itertools.count(1, 2)
        while peer.transport.get_write_buffer_size() < 1 << 20:
            peer.raw(b"".join(frame(HEADERS, 5, next(numbers), block) for _ in range(1000)))
            await asyncio.sleep(0)
        assert (await good.exported(spans(1))).status == GrpcStatus.OK
        assert peer.transport.get_write_buffer_size() > 1 << 19, "it is not read from"
        assert node.core.booked() < 4 << 20
        peer.drop()
