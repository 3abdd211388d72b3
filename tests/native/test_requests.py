"""Scenario: what clients send, well formed and not. Guarantees: each request is answered, as is due."""

from __future__ import annotations

import asyncio
import os

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from sidecar.config.schema import DeliveryConfig, LimitsConfig
from sidecar.errors import GrpcStatus
from sidecar.model import Signal
from tests.harness.otlp import MAKE, METHODS, request, span, spans
from tests.kernels.wire import field
from tests.native.backend import Backend, Call
from tests.native.node import Node, configured
from tests.native.patience import until
from tests.native.peer import framed

TRACES = METHODS[Signal.TRACES]
HEALTH = "/grpc.health.v1.Health/Check"


async def asked(node: Node, path: str, body: bytes, *extra: tuple[str, str]) -> tuple[GrpcStatus, str]:
    peer = await node.peer()
    answer = await peer.call(path, body, extra).done()
    return answer.status, answer.words


@pytest.mark.parametrize("signal", [Signal.TRACES, Signal.LOGS, Signal.METRICS])
@pytest.mark.parametrize("gzip", [False, True])
async def test_an_export(node: Node, backend: Backend, signal: Signal, gzip: bool) -> None:
    peer, message = await node.peer(), MAKE[signal](20)
    answer = await peer.exported(message, signal, gzip=gzip)
    assert answer.headers == {":status": "200", "content-type": "application/grpc"}
    assert (answer.message, answer.trailers) == (b"", {"grpc-status": "0"})
    assert backend.messages == [message]
    assert backend.calls[0].headers[":path"] == METHODS[signal]
    assert node.books() == {"received": 20, "forwarded": 20}


async def test_profiles_go_whole(node: Node, backend: Backend) -> None:
    message = field(1, field(2, field(2, b"\x0a\x01a"))) * 2 + field(2, b"\x2a\x00")
    answer = (
        await (await node.peer())
        .call("/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export", framed(message))
        .done()
    )
    assert answer.status == GrpcStatus.OK
    assert backend.messages == [message]


@pytest.mark.parametrize("message", [b"", field(1, b""), field(1, field(2, b"")) * 3])
async def test_no_spans_are_a_success(node: Node, backend: Backend, message: bytes) -> None:
    answer = await (await node.peer()).exported(message)
    assert (answer.status, answer.message) == (GrpcStatus.OK, b"")
    assert backend.calls == []


# ---- methods, encodings, kinds


@pytest.mark.parametrize("path", [TRACES + "s", "/", "/grpc.health.v1.Health/Watch", TRACES.lower()])
async def test_an_unknown_method(node: Node, path: str) -> None:
    assert await asked(node, path, framed(b"")) == (GrpcStatus.UNIMPLEMENTED, "unknown method")


@pytest.mark.parametrize("encoding", ["zstd", "snappy", "deflate", ""])
async def test_an_unknown_encoding(node: Node, encoding: str) -> None:
    answer = await (await node.peer()).call(TRACES, framed(b"", flag=1), [("grpc-encoding", encoding)]).done()
    assert answer.status == GrpcStatus.UNIMPLEMENTED
    assert answer.said["grpc-accept-encoding"] == "identity,gzip"
    assert answer.retry_after_s is None


async def test_identity_is_an_encoding(node: Node) -> None:
    assert (await asked(node, TRACES, framed(b""), ("grpc-encoding", "identity")))[0] == GrpcStatus.OK


async def test_metadata_of_a_client(node: Node) -> None:
    """Names that look like those we read, from not too near."""
    extra = [("epoch", "1"), ("spans", "2"), ("grpc-timeouts", "1n"), ("grpc-encodings", "x"), ("content-types", "x")]
    assert (await (await node.peer()).export(spans(1), extra=extra).done()).status == GrpcStatus.OK


@pytest.mark.parametrize(
    "kind", ["text/html", "application/json", "application/x-protobuf", "application/grpc-web", "application/grpcx"]
)
async def test_another_content_type(node: Node, kind: str) -> None:
    answer = await (await node.peer()).call(TRACES, framed(spans(1)), kind=kind).done()
    assert answer.status == GrpcStatus.INVALID_ARGUMENT
    assert node.books() == {}


@pytest.mark.parametrize("kind", ["application/grpc+proto", "application/grpc;a=b", "application/grpc"])
async def test_content_types_of_grpc(node: Node, kind: str) -> None:
    assert (await (await node.peer()).call(TRACES, framed(b""), kind=kind).done()).status == GrpcStatus.OK


# ---- framing


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"\0", GrpcStatus.INVALID_ARGUMENT),
        (b"\0\0\0\0", GrpcStatus.INVALID_ARGUMENT),
        (b"\0\0\0\0\x05abc", GrpcStatus.INVALID_ARGUMENT),  # cut off
        (framed(b"") + b"\0", GrpcStatus.INVALID_ARGUMENT),  # more than the prefix says
        (framed(spans(1)) * 2, GrpcStatus.INVALID_ARGUMENT),  # two messages
        (framed(b"\x0a\x05a"), GrpcStatus.INVALID_ARGUMENT),  # no Export request
        (framed(b"", flag=1), GrpcStatus.INTERNAL),  # compressed, nobody knows how
        (framed(b"", flag=2), GrpcStatus.INTERNAL),
    ],
)
async def test_a_body_that_is_no_message(node: Node, body: bytes, status: GrpcStatus) -> None:
    peer = await node.peer()
    answer = await peer.call(TRACES, body).done()
    assert answer.status == status
    assert answer.retry_after_s is None
    assert (await peer.exported(spans(1))).status == GrpcStatus.OK, "the connection goes on"


@pytest.mark.parametrize("damage", ["cut", "noise", "trailing"])
async def test_gzip_that_is_none(node: Node, damage: str) -> None:
    whole = framed(spans(50), gzip=True)[5:]
    body = {"cut": whole[:-9], "noise": os.urandom(200), "trailing": whole + b"x"}[damage]
    answer = await (await node.peer()).call(TRACES, framed(body, flag=1), [("grpc-encoding", "gzip")]).done()
    assert answer.status == GrpcStatus.INVALID_ARGUMENT
    assert answer.retry_after_s is None


async def test_gzip_is_announced_and_not_used(node: Node) -> None:
    answer = await (await node.peer()).call(TRACES, framed(spans(1)), [("grpc-encoding", "gzip")]).done()
    assert answer.status == GrpcStatus.OK


async def test_headers_that_end_the_stream(node: Node) -> None:
    peer = await node.peer()
    answer = await peer.answers[peer.begin(TRACES, end=True)].done()
    assert (answer.status, answer.words) == (GrpcStatus.INVALID_ARGUMENT, "the stream ended without a message")


async def test_a_request_that_comes_in_crumbs(node: Node, backend: Backend) -> None:
    peer, message = await node.peer(), spans(3)
    stream = peer.begin(TRACES)
    for byte in framed(message):
        peer.send(stream, bytes([byte]), end=False)
        await asyncio.sleep(0)
    peer.send(stream, b"", end=True)
    assert (await peer.answers[stream].done()).status == GrpcStatus.OK
    assert backend.messages == [message]


async def test_streams_that_take_turns(node: Node, backend: Backend) -> None:
    """Bodies interleaved on one connection do not mix."""
    peer = await node.peer()
    messages = [spans(40, service=f"s{i}") for i in range(8)]
    streams = [peer.begin(TRACES) for _ in messages]
    rest = [framed(message) for message in messages]
    while any(rest):
        for i, stream in enumerate(streams):
            if rest[i]:
                peer.send(stream, rest[i][:700], end=len(rest[i]) <= 700)
                rest[i] = rest[i][700:]
    for stream in streams:
        assert (await peer.answers[stream].done()).status == GrpcStatus.OK
    whole = b"".join(backend.messages)
    assert len(whole) == sum(map(len, messages))
    assert all(message in whole for message in messages)
    assert node.books() == {"received": 320, "forwarded": 320}


# ---- partial success


async def test_bad_trace_ids_are_refused_alone(node: Node, backend: Backend) -> None:
    message = request([span(b"short", b"12345678"), span(os.urandom(16), b"12345678"), span(bytes(20), b"12345678")])
    answer = await (await node.peer()).exported(message)
    assert answer.status == GrpcStatus.OK
    partial = answer.partial
    assert (partial.rejected_spans, partial.error_message) == (2, "2 spans with a trace id that is not 16 bytes long")
    assert len(backend.calls) == 1
    assert node.books() == {"received": 3, "forwarded": 1, "rejected": 2}


async def test_bad_trace_ids_alone_are_a_refusal(node: Node) -> None:
    answer = await (await node.peer()).exported(request([span(b"short", b"12345678")]))
    assert answer.status == GrpcStatus.INVALID_ARGUMENT
    assert answer.words == "1 span with a trace id that is not 16 bytes long"
    assert node.books() == {"received": 1, "rejected": 1}


# ---- health


async def test_health(node: Node, backend: Backend) -> None:
    peer = await node.peer()
    for service in (b"", b"opentelemetry.proto.collector.trace.v1.TraceService"):
        answer = await peer.call(HEALTH, framed(field(1, service))).done()
        assert (answer.status, answer.message) == (GrpcStatus.OK, b"\x08\x01"), "SERVING"
    await backend.stop()
    await until(lambda: not any(row.up for row in node.page.backends()), "the backend is down")
    assert (await peer.call(HEALTH, framed(b"")).done()).message == b"\x08\x02", "NOT_SERVING"
    assert node.books() == {}


# ---- deadlines


def never(call: Call) -> None:
    """No answer."""


@pytest.mark.parametrize(
    ("within", "least_s", "most_s"),
    [
        ("200m", 0.1, 0.4),
        ("300000u", 0.2, 0.5),
        ("200000000n", 0.1, 0.4),
        ("1H", 0.55, 1.0),
        ("none", 0.55, 1.0),
        (None, 0.55, 1.0),
    ],
)
async def test_a_deadline(backend: Backend, within: str | None, least_s: float, most_s: float) -> None:
    """What is left of grpc-timeout, and at most max_wait, which is 0.6 s here."""
    backend.script = never
    async with Node(configured([backend], delivery=DeliveryConfig(max_wait_s=0.6))) as node:
        peer, loop = await node.peer(), asyncio.get_running_loop()
        began_s = loop.time()
        answer = await peer.export(spans(2), extra=[("grpc-timeout", within)] if within else []).done()
        took_s = loop.time() - began_s
        assert answer.status == GrpcStatus.UNAVAILABLE
        assert answer.retry_after_s == 1.0
        assert least_s <= took_s <= most_s + 0.3
        assert node.books() == {"received": 2, "rejected": 2}


async def test_a_deadline_that_is_over(node: Node) -> None:
    answer = await (await node.peer()).export(spans(2), extra=[("grpc-timeout", "1n")]).done()
    assert answer.status in {GrpcStatus.UNAVAILABLE, GrpcStatus.OK}


# ---- who leaves


async def test_a_client_that_resets_its_stream_early(node: Node, backend: Backend) -> None:
    peer = await node.peer()
    stream = peer.begin(TRACES)
    peer.send(stream, framed(spans(100))[:500], end=False)
    peer.reset(stream)
    assert (await peer.exported(spans(1))).status == GrpcStatus.OK
    assert len(backend.calls) == 1
    assert node.books() == {"received": 1, "forwarded": 1}


@pytest.mark.parametrize("how", ["reset", "drop"])
async def test_a_client_that_leaves_before_its_answer(node: Node, backend: Backend, how: str) -> None:
    """Its parts go on; nobody is told."""
    held: list[Call] = []
    backend.script = held.append
    peer = await node.peer()
    answer = peer.export(spans(5))
    await until(lambda: held, "the call is open")
    if how == "reset":
        [stream] = [stream for stream, one in peer.answers.items() if one is answer]
        peer.reset(stream)
    else:
        peer.drop()
    await asyncio.sleep(0.02)
    held[0].ok()
    await until(lambda: node.books() == {"received": 5, "forwarded": 5}, "the parts are forwarded")


async def test_a_socket_half_closed_gets_its_answer(node: Node, backend: Backend) -> None:
    held: list[Call] = []
    backend.script = held.append
    peer = await node.peer()
    answer = peer.export(spans(5))
    peer.half_close()
    await until(lambda: held, "the call is open")
    held[0].ok()
    assert (await answer.done()).status == GrpcStatus.OK
    await asyncio.wait_for(peer.closed.wait(), 5)


async def test_what_a_socket_half_closed_has_not_finished_is_given_up(node: Node, backend: Backend) -> None:
    """It can never complete; what is complete is answered, then the connection ends and nothing of it is kept."""
    held: list[Call] = []
    backend.script = held.append
    peer = await node.peer()
    begun = peer.begin(TRACES)
    peer.send(begun, framed(spans(500))[:20_000], end=False)
    answer = peer.export(spans(5))
    await until(lambda: held, "the call is open")
    peer.half_close()
    await peer.answers[begun].done()
    assert peer.answers[begun].reset == ErrorCodes.CANCEL
    assert not peer.closed.is_set()
    held[0].ok()
    assert (await answer.done()).status == GrpcStatus.OK
    await asyncio.wait_for(peer.closed.wait(), 5)


async def test_a_client_that_has_gone_is_noticed_although_it_waits_for_an_answer(node: Node, backend: Backend) -> None:
    """Its system closes the connection like one that is half closed."""
    held: list[Call] = []
    backend.script = held.append
    peer = await node.peer()
    peer.export(spans(5))
    await until(lambda: held, "the call is open")
    peer.drop()
    await until(lambda: node.worker._engine.connections() == 0, "the connection is gone")
    held[0].ok()
    await node.rest()
    assert node.books() == {"received": 5, "forwarded": 5}


async def test_more_streams_than_are_allowed(backend: Backend) -> None:
    """A client that has not yet heard of the limit may send again what is above it."""
    held: list[Call] = []
    backend.script = held.append
    async with Node(configured([backend], limits=LimitsConfig(streams_per_connection=4))) as node:
        peer = await node.peer()
        answers = [peer.export(spans(1)) for _ in range(6)]
        await until(lambda: sum(answer.reset is not None for answer in answers) == 2, "two are refused")
        assert peer.h2.remote_settings.max_concurrent_streams == 4
        assert {answer.reset for answer in answers} == {None, ErrorCodes.REFUSED_STREAM}
        await until(lambda: held, "the others are under way")
        backend.script = Call.ok
        for call in held:
            call.ok()
        assert [(await answer.done()).status for answer in answers if answer.reset is None] == [GrpcStatus.OK] * 4


async def test_a_client_that_knows_of_the_limit_and_breaks_it(backend: Backend) -> None:
    """It is cut; what it has sent goes on."""
    held: list[Call] = []
    backend.script = held.append
    async with Node(configured([backend], limits=LimitsConfig(streams_per_connection=4))) as node:
        peer = await node.peer()
        for _ in range(4):
            peer.export(spans(1))
        await until(lambda: held, "they are under way")
        peer.h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 100
        peer.h2.remote_settings.acknowledge()
        peer.export(spans(1))
        await asyncio.wait_for(peer.closed.wait(), 5)
        assert peer.goaways[-1][1] == ErrorCodes.PROTOCOL_ERROR
        assert node.page.worker().protocol_errors == 1
        backend.script = Call.ok
        for call in held:
            call.ok()
        await until(lambda: node.books() == {"received": 4, "forwarded": 4}, "the parts are forwarded")


async def test_connections_up_to_the_limit(backend: Backend) -> None:
    """Those above it wait in the backlog until there is room."""
    async with Node(configured([backend], limits=LimitsConfig(connections=2))) as node:
        first, second = await node.peer(), await node.peer()
        assert (await first.exported(spans(1))).status == GrpcStatus.OK
        assert (await second.exported(spans(1))).status == GrpcStatus.OK
        third = await node.peer()
        answer = third.export(spans(1))
        await asyncio.sleep(0.05)
        assert not answer.over.is_set()
        first.drop()
        assert (await answer.done()).status == GrpcStatus.OK
