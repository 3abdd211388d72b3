"""Scenario: backends answer in every way there is. Guarantees: the client is told what the delivery contract says, and
each item is in the books once."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from sidecar.config.schema import BackendConfig, BackoffConfig, BatchConfig, DeliveryConfig, GatewayConfig
from sidecar.deliver.failure import RETRYABLE
from sidecar.errors import GrpcStatus
from sidecar.model import Compression, Endpoint, Secret
from tests.harness.otlp import counted, spans
from tests.native.backend import Backend, Call, Script, accept
from tests.native.node import Node, configured
from tests.native.patience import until
from tests.native.peer import framed

QUICK = DeliveryConfig(max_wait_s=1.0, max_retries=2, backoff=BackoffConfig(initial_s=0.01, max_s=0.02))
NOISE = random.Random(1).randbytes(50)
ERRORS = [status for status in GrpcStatus if status is not GrpcStatus.OK]


def failing(status: int, words: str = "", retry_after_s: float | None = None) -> Script:
    return lambda call: call.fail(status, words, retry_after_s)


def partly(rejected: int, words: str = "") -> bytes:
    return ExportTraceServiceResponse(
        partial_success=ExportTracePartialSuccess(rejected_spans=rejected, error_message=words)
    ).SerializeToString()


@pytest.fixture
async def node(backend: Backend) -> AsyncIterator[Node]:
    async with Node(configured([backend], delivery=QUICK)) as made:
        yield made


# ---- a call


async def test_what_a_call_looks_like(backend: Backend) -> None:
    config = GatewayConfig(
        backends=(
            BackendConfig(
                address=Endpoint("127.0.0.1", backend.port),
                headers={"Api-Key": Secret("s3cret"), "x-scope": Secret("a b")},
            ),
        )
    )
    async with Node(config) as node:
        answer = await (await node.peer()).export(spans(1), extra=[("x-client", "1"), ("authorization", "mine")]).done()
        assert answer.status == GrpcStatus.OK
    headers = backend.calls[0].headers
    assert list(headers)[:4] == [":method", ":scheme", ":path", ":authority"]
    assert headers[":authority"] == f"127.0.0.1:{backend.port}"
    assert (headers["te"], headers["content-type"]) == ("trailers", "application/grpc")
    assert headers["user-agent"].startswith("spangate/")
    assert (headers["api-key"], headers["x-scope"]) == ("s3cret", "a b")
    assert "x-client" not in headers, "inbound metadata is not forwarded"
    assert "authorization" not in headers
    assert "grpc-encoding" not in headers


async def test_a_compressed_call(backend: Backend) -> None:
    async with Node(configured([backend], delivery=DeliveryConfig(compression=Compression.GZIP))) as node:
        peer = await node.peer()
        messages = [spans(500), spans(1), b"\x0a\x00" + spans(3000)]
        for message in messages:
            assert (await peer.exported(message)).status == GrpcStatus.OK
        assert [call.headers["grpc-encoding"] for call in backend.calls] == ["gzip"] * 3
        assert [call.data[0] for call in backend.calls] == [1] * 3
        assert counted(backend.messages) == counted(messages)
        assert len(backend.calls[0].data) < len(messages[0])


# ---- statuses: OTLP's table


@pytest.mark.parametrize("status", ERRORS)
async def test_a_status_that_stays(node: Node, backend: Backend, status: GrpcStatus) -> None:
    backend.script = failing(status, "100% wrong: \u00e4")
    answer = await (await node.peer()).exported(spans(3))
    if status in RETRYABLE:
        assert answer.status == GrpcStatus.UNAVAILABLE
        assert answer.retry_after_s is not None
        assert len(backend.calls) == 1 + QUICK.max_retries
    else:
        assert answer.status == status
        assert answer.retry_after_s is None
        assert len(backend.calls) == 1
    assert node.books() == {"received": 3, "rejected": 3}


@pytest.mark.parametrize("status", ERRORS)
async def test_a_status_that_passes(node: Node, backend: Backend, status: GrpcStatus) -> None:
    backend.in_turn(failing(status), accept)
    answer = await (await node.peer()).exported(spans(3))
    assert answer.status == (GrpcStatus.OK if status in RETRYABLE else status)
    assert len(backend.calls) == (2 if status in RETRYABLE else 1)


@pytest.mark.parametrize("status", ERRORS)
async def test_a_status_with_retry_info(node: Node, backend: Backend, status: GrpcStatus) -> None:
    """It makes RESOURCE_EXHAUSTED a passing one, and is waited for; nothing else becomes retryable by it."""
    backend.in_turn(failing(status, "later", 0.25), accept)
    answer = await (await node.peer()).exported(spans(3))
    retried = status in RETRYABLE or status is GrpcStatus.RESOURCE_EXHAUSTED
    assert answer.status == (GrpcStatus.OK if retried else status)
    if retried:
        first, second = backend.calls
        assert 0.24 <= second.at_s - first.at_s < 0.7
    else:
        assert len(backend.calls) == 1
        assert answer.retry_after_s is None


async def test_retry_info_that_is_too_long_to_wait_for(node: Node, backend: Backend) -> None:
    backend.script = failing(GrpcStatus.UNAVAILABLE, "later", 30)
    answer = await (await node.peer()).exported(spans(3))
    assert (answer.status, len(backend.calls)) == (GrpcStatus.UNAVAILABLE, 1)
    assert answer.retry_after_s is not None


async def test_details_that_do_not_parse(node: Node, backend: Backend) -> None:
    def script(call: Call) -> None:
        headers = [(":status", "200"), ("grpc-status", "8"), ("grpc-status-details-bin", "!!!")]
        call.session.h2.send_headers(call.stream, headers, end_stream=True)
        call.session.flush()

    backend.script = script
    assert (await (await node.peer()).exported(spans(1))).status == GrpcStatus.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("http", "status"), [(503, 14), (429, 14), (502, 14), (404, 12), (401, 16), (403, 7), (400, 13), (500, 2)]
)
async def test_a_proxy_in_place_of_the_backend(node: Node, backend: Backend, http: int, status: int) -> None:
    backend.in_turn(lambda call: call.http(http), accept)
    answer = await (await node.peer()).exported(spans(1))
    assert answer.status == (GrpcStatus.OK if status == GrpcStatus.UNAVAILABLE else status)


@pytest.mark.parametrize("number", ["99", "-1", "x", "", "4294967296"])
async def test_a_status_that_is_none(node: Node, backend: Backend, number: str) -> None:
    def script(call: Call) -> None:
        headers = [(":status", "200"), ("grpc-status", number)]
        call.session.h2.send_headers(call.stream, headers, end_stream=True)
        call.session.flush()

    backend.script = script
    assert (await (await node.peer()).exported(spans(1))).status == GrpcStatus.UNKNOWN
    assert node.books() == {"received": 1, "rejected": 1}


# ---- OK, with something in it


async def test_partial_success_is_passed_on(node: Node, backend: Backend) -> None:
    backend.script = lambda call: call.ok(partly(2, "no more than 3 spans, please"))
    answer = await (await node.peer()).exported(spans(5))
    assert answer.status == GrpcStatus.OK
    assert (answer.partial.rejected_spans, answer.partial.error_message) == (2, "no more than 3 spans, please")
    assert node.books() == {"received": 5, "forwarded": 3, "rejected": 2}


@pytest.mark.parametrize(
    ("response", "passed_on"),
    [
        (partly(0, "a word of warning"), partly(0, "a word of warning")),
        (partly(-3, "?"), partly(0, "?")),
        (b"\x0a\x00", b""),
        (b"\xff no protobuf", b""),
    ],
)
async def test_words_are_no_refusal(node: Node, backend: Backend, response: bytes, passed_on: bytes) -> None:
    backend.script = lambda call: call.ok(response)
    answer = await (await node.peer()).exported(spans(5))
    assert (answer.status, answer.message) == (GrpcStatus.OK, passed_on)
    assert node.books() == {"received": 5, "forwarded": 5}


async def test_partial_success_of_more_than_there_was(node: Node, backend: Backend) -> None:
    backend.script = lambda call: call.ok(partly(1000))
    answer = await (await node.peer()).exported(spans(5))
    assert answer.status != GrpcStatus.UNAVAILABLE
    assert node.books() == {"received": 5, "rejected": 5}


async def batch_of_three(node: Node, backend: Backend, script: Script) -> list[GrpcStatus]:
    """Statuses of three requests that went out as one call, of 1, 2 and 3 spans, the second of service "bad"."""
    held: list[Call] = []
    backend.script = held.append
    peer = await node.peer()
    first = peer.export(spans(1))
    await until(lambda: held, "a call is open")
    answers = [peer.export(spans(n, service=service)) for n, service in ((1, "a"), (2, "bad"), (3, "c"))]
    await until(lambda: node.books().get("in_flight") == 7, "they have arrived")
    backend.script = script
    held[0].ok()
    assert (await first.done()).status == GrpcStatus.OK
    return [(await answer.done()).status for answer in answers]


@pytest.fixture
async def merging(backend: Backend) -> AsyncIterator[Node]:
    """One call at a time, so that parts gather."""
    delivery = DeliveryConfig(max_wait_s=2.0, max_retries=1, max_in_flight=1, backoff=QUICK.backoff)
    async with Node(configured([backend], delivery=delivery, batch=BatchConfig(max_wait_s=5.0))) as made:
        yield made


async def test_parts_gather_while_a_call_is_open(merging: Node, backend: Backend) -> None:
    assert await batch_of_three(merging, backend, accept) == [GrpcStatus.OK] * 3
    assert len(backend.calls) == 2
    assert merging.books() == {"received": 7, "forwarded": 7}


async def test_partial_success_of_a_merged_call_has_no_name(merging: Node, backend: Backend) -> None:
    """Nobody can tell whose they were: in the books of the gateway, and for a while its parts travel alone."""
    assert await batch_of_three(merging, backend, lambda call: call.ok(partly(2))) == [GrpcStatus.OK] * 3
    assert merging.books() == {"received": 7, "forwarded": 5, "dropped": 2}
    before = len(backend.calls)
    assert await batch_of_three(merging, backend, accept) == [GrpcStatus.OK] * 3
    assert len(backend.calls) == before + 4


async def test_a_warning_on_a_merged_call_has_no_name(merging: Node, backend: Backend) -> None:
    assert await batch_of_three(merging, backend, lambda call: call.ok(partly(0, "hm"))) == [GrpcStatus.OK] * 3
    assert merging.books() == {"received": 7, "forwarded": 7}


async def test_only_the_bad_part_of_a_merged_call_is_lost(merging: Node, backend: Backend) -> None:
    def picky(call: Call) -> None:
        if b"bad" in call.message:
            call.fail(GrpcStatus.INVALID_ARGUMENT, "bad")
        else:
            call.ok()

    statuses = await batch_of_three(merging, backend, picky)
    assert statuses == [GrpcStatus.OK, GrpcStatus.INVALID_ARGUMENT, GrpcStatus.OK]
    assert merging.books() == {"received": 7, "forwarded": 5, "rejected": 2}


async def test_credentials_are_no_fault_of_one_part(merging: Node, backend: Backend) -> None:
    statuses = await batch_of_three(merging, backend, failing(GrpcStatus.UNAUTHENTICATED))
    assert statuses == [GrpcStatus.UNAUTHENTICATED] * 3
    assert len(backend.calls) == 2


@pytest.mark.parametrize(
    "body",
    [NOISE, b"\0", b"\0\0\0\0\x09abc", b"\1\0\0\0\0", b"\1\0\0\0\x20" + bytes(32), b"\0\0\0\0\x02\x0a\x7f"],
    ids=lambda body: body.hex()[:8],
)
async def test_an_answer_that_is_none(node: Node, backend: Backend, body: bytes) -> None:
    """OK is OK: the backend has it."""
    backend.script = lambda call: call.body(body, GrpcStatus.OK)
    answer = await (await node.peer()).exported(spans(5))
    assert answer.status == GrpcStatus.OK
    assert node.books() == {"received": 5, "forwarded": 5}


@pytest.mark.parametrize("response", [b"", partly(2, "two of them")])
async def test_an_answer_that_is_compressed(backend: Backend, response: bytes) -> None:
    """grpc-go, and so the Collector, answers in the encoding of the request."""
    backend.script = lambda call: call.body(framed(response, gzip=True), GrpcStatus.OK)
    async with Node(configured([backend], delivery=DeliveryConfig(compression=Compression.GZIP))) as node:
        answer = await (await node.peer()).exported(spans(5))
        assert (answer.status, answer.message) == (GrpcStatus.OK, response)
        [figures] = node.page.backends()
        assert (sum(figures.latency), figures.failed_calls) == (0 if response else 1, 0)


async def test_an_answer_without_a_body(node: Node, backend: Backend) -> None:
    backend.script = failing(GrpcStatus.OK)
    assert (await (await node.peer()).exported(spans(5))).status == GrpcStatus.OK


async def test_an_answer_of_5_mib(node: Node, backend: Backend) -> None:
    """Over 4 MiB nobody reads on, and it is not tried again."""
    backend.script = lambda call: call.body(b"\0\0\x50\0\0" + bytes(5 << 20), GrpcStatus.OK)
    answer = await (await node.peer()).exported(spans(5))
    assert answer.status == GrpcStatus.RESOURCE_EXHAUSTED
    assert answer.retry_after_s is None
    assert len(backend.calls) == 1
    backend.script = accept
    assert (await (await node.peer()).exported(spans(1))).status == GrpcStatus.OK, "the connection goes on"
    assert len(backend.sessions) == 1


async def test_an_answer_that_comes_too_late_for_some(merging: Node, backend: Backend) -> None:
    """The first part of a call is told UNAVAILABLE in time, the second one is still waited for."""
    held: list[Call] = []
    backend.script = held.append
    peer = await merging.peer()
    first = peer.export(spans(1))
    await until(lambda: held, "a call is open")
    hasty = peer.export(spans(2), extra=[("grpc-timeout", "400m")])
    patient = peer.export(spans(4))
    await until(lambda: merging.books().get("in_flight") == 7, "they have arrived")
    held[0].ok()
    await until(lambda: len(held) == 2, "both go out as one call")
    assert (await hasty.done()).status == GrpcStatus.UNAVAILABLE
    assert not patient.over.is_set()
    held[1].ok()
    assert [(await answer.done()).status for answer in (first, patient)] == [GrpcStatus.OK] * 2
    await merging.rest()
    assert merging.books() == {"received": 7, "forwarded": 5, "rejected": 2}
    assert merging.page.worker().forwarded_late == 2
