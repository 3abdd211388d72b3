"""Requests on their way into the tables: the gRPC prefix, gzip, those that end early, and how much a tick takes."""

import gzip

import pytest

from sidecar._native.core import WorkerCore
from sidecar._native.scan import ReplyRow, Tick, scan
from tests.kernels.check import PAGE
from tests.kernels.otlp import GRPC_INTERNAL, GRPC_INVALID_ARGUMENT, GRPC_OK, GRPC_RESOURCE_EXHAUSTED, TRACES
from tests.kernels.spans import request, resource, span

PLENTY = 1 << 30
BODY = request(span(), span(), resource=resource())


def framed(body: bytes, flag: int = 0, size: int | None = None) -> bytes:
    return bytes([flag]) + (len(body) if size is None else size).to_bytes(4) + body


def pushed(*bodies: bytes, gzip: bool = False) -> Tick:
    tick = Tick.of(TRACES, [])
    for body in bodies:
        tick.push(TRACES, body, gzip)
    return tick


def test_requests_become_documents_in_order() -> None:
    tick = Tick.of(TRACES, [BODY, b"", BODY])
    assert scan(tick, PLENTY) == 3
    assert [(doc.request, doc.size, doc.items) for doc in tick.docs()] == [
        (0, len(BODY), 2),
        (1, 0, 0),
        (2, len(BODY), 2),
    ]
    assert tick.replies() == []


def test_a_malformed_request_is_refused_alone() -> None:
    tick = Tick.of(TRACES, [BODY, BODY[:-1], BODY + b"\x07", BODY])
    assert scan(tick, PLENTY) == 2
    words = "the message is not a well-formed Export request"
    assert tick.replies() == [ReplyRow(i, GRPC_INVALID_ARGUMENT, False, 0, 0, words) for i in (1, 2)]
    assert [doc.request for doc in tick.docs()] == [0, 3]
    assert len(tick.items()) == 4
    assert tick.row(TRACES, b"cart").received == 0  # books are for sample to open


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"\0\0\0\0",
        framed(BODY)[:-1],
        framed(BODY) + b"\0",
        framed(BODY, size=1 << 31),
        framed(BODY, size=0),
    ],
)
def test_what_is_not_one_message(body: bytes) -> None:
    tick = pushed(body)
    assert scan(tick, PLENTY) == 0
    assert [reply.status for reply in tick.replies()] == [GRPC_INVALID_ARGUMENT]


def test_the_empty_message() -> None:
    tick = pushed(b"\0\0\0\0\0")
    assert scan(tick, PLENTY) == 1
    assert tick.docs()[0].items == 0


@pytest.mark.parametrize(("flag", "encoding"), [(1, False), (2, False), (2, True), (255, True)])
def test_compressed_with_what(flag: int, encoding: bool) -> None:
    tick = pushed(framed(gzip.compress(BODY), flag), gzip=encoding)
    assert scan(tick, PLENTY) == 0
    assert [reply.status for reply in tick.replies()] == [GRPC_INTERNAL]


def test_gzip() -> None:
    tick = pushed(framed(gzip.compress(BODY), 1), framed(BODY, 0), gzip=True)
    assert scan(tick, PLENTY) == 2
    assert [(doc.size, doc.items) for doc in tick.docs()] == [(len(BODY), 2)] * 2


@pytest.mark.parametrize(
    "body",
    [b"", b"no gzip", gzip.compress(BODY)[:-1], gzip.compress(BODY[:-1])],
    ids=["empty", "no gzip", "cut off", "of a malformed message"],
)
def test_bad_gzip(body: bytes) -> None:
    tick = pushed(framed(body, 1), gzip=True)
    assert scan(tick, PLENTY) == 0
    assert [reply.status for reply in tick.replies()] == [GRPC_INVALID_ARGUMENT]


def test_gzip_that_grows_too_large() -> None:
    tick = pushed(framed(gzip.compress(bytes(65 << 20)), 1), gzip=True)
    assert scan(tick, PLENTY) == 0
    (reply,) = tick.replies()
    assert (reply.status, reply.retryable) == (GRPC_RESOURCE_EXHAUSTED, False)


def test_a_client_that_has_gone_is_not_scanned() -> None:
    tick = Tick.of(TRACES, [BODY, BODY, b"\xff"])
    for number in (0, 2):
        tick.leave(number)
    assert scan(tick, PLENTY) == 1
    assert [(reply.request, reply.status) for reply in tick.replies()] == [(0, GRPC_OK), (2, GRPC_OK)]


def test_a_part_without_a_client_goes_on() -> None:
    """What was sampled already is another's answer, or nobody's any more: it is still owed."""
    tick = Tick.of(TRACES, [BODY])
    tick.leave(0)
    tick.mark_judged(0)
    assert scan(tick, PLENTY) == 1


def test_a_part_does_not_count_faults_again() -> None:
    tick = Tick.of(TRACES, [request(b"")] * 2)
    tick.mark_judged(1)
    scan(tick, PLENTY)
    assert tick.figures()[0] == 1


def test_a_tick_takes_so_many_bytes_and_one_more() -> None:
    tick = Tick.of(TRACES, [BODY] * 10)
    one = len(framed(BODY))
    assert [scan(tick, limit) for limit in (one * 3, one * 3 + 1, 1, 0, PLENTY, PLENTY)] == [3, 4, 1, 0, 2, 0]


def test_bytes_count_as_inflated() -> None:
    tick = pushed(*[framed(gzip.compress(BODY * 1000), 1)] * 3, gzip=True)
    assert scan(tick, len(BODY) * 1500) == 2


def test_requests_may_come_between_ticks() -> None:
    tick = Tick.of(TRACES, [BODY])
    assert scan(tick, PLENTY) == 1
    assert scan(tick, PLENTY) == 0
    tick.push(TRACES, framed(BODY))
    tick.push(TRACES, framed(BODY))
    assert scan(tick, PLENTY) == 2
    assert [doc.request for doc in tick.docs()] == [1, 2]


def test_again() -> None:
    tick = Tick.of(TRACES, [BODY, BODY])
    scan(tick, PLENTY)
    rows = tick.items()
    tick.again()
    assert scan(tick, PLENTY) == 2
    assert tick.items() == rows


def test_no_buffer_is_kept() -> None:
    core = WorkerCore(bytearray(PAGE), bytearray(16))
    tick = Tick.of(TRACES, [BODY, BODY[:-1]] * 10, core)
    tick.push(TRACES, b"")
    scan(tick, PLENTY)
    tick.push(TRACES, framed(BODY))  # still waiting
    assert core.memory()[0] == 11 + 22
    del tick
    assert core.memory()[:2] == (0, 0)


@pytest.mark.parametrize("signal", [-1, 4, 5])
def test_signals_that_there_are_not(signal: int) -> None:
    with pytest.raises(ValueError, match="no such signal"):
        Tick.of(signal, [b""])
