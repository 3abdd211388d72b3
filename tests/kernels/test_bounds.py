"""Time and memory: linear in the bytes, whatever they are, and nothing outside of them is read."""

import resource
import time
from pathlib import Path

import pytest

from sidecar._native.scan import Tick, scan
from tests.kernels.guard import Guard
from tests.kernels.otlp import GRPC_RESOURCE_EXHAUSTED, LOGS, METRICS, SIGNALS, TRACES
from tests.kernels.spans import accepted, attribute, request, scanned, span
from tests.kernels.wire import LEN, field, varint

MIB = 1 << 20
MOST = 1 << 21


def wrapped(content: bytes, *numbers: int) -> bytes:
    for number in numbers:
        content = field(number, content)
    return content


@pytest.mark.parametrize(
    ("what", "numbers"),
    [
        (b"\x08\x01", ()),  # unknown fields of a request, a resource, a scope, an item, a Resource, a status
        (b"\x18\x01", (1,)),
        (b"\x18\x01", (2, 1)),
        (b"\x30\x01", (2, 2, 1)),
        (b"\x10\x01", (1, 1)),
        (b"\x10\x01", (15, 2, 2, 1)),
        (b"\x0a\x00", (1, 1)),  # attributes
        (b"\x1a\x00", (2, 2, 1)),  # tracestates
        (b"\x7a\x00", (2, 2, 1)),  # statuses
        (varint(100 << 3 | 3) + varint(100 << 3 | 4), (2, 2, 1)),
    ],
)
def test_64_mib_of_small_fields(what: bytes, numbers: tuple[int, ...]) -> None:
    body = wrapped(what * (64 * MIB // len(what)), *numbers)
    began = time.process_time()
    assert accepted(body)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("what", "numbers"),
    [
        (b"\x0a\x00", ()),
        (b"\x12\x00", (1,)),
        (b"\x12\x00", (2, 1)),
        (b"\xc2\x3e\x00", (1,)),
        (b"\x12\x00\x18\x01", (2, 1)),
    ],
)
@pytest.mark.parametrize("signal", [TRACES, LOGS, METRICS])
def test_rows_have_a_bound(signal: int, what: bytes, numbers: tuple[int, ...]) -> None:
    """64 MiB of empty items would be 2 GB of rows."""
    assert accepted(wrapped(what * (MOST // 4), *numbers), signal)
    tick = Tick.of(signal, [wrapped(what * (MOST + 1), *numbers), b""])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    assert scan(tick, 1 << 30) == 1
    assert time.process_time() - began < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600 << 10
    (reply,) = tick.replies()
    assert (reply.status, reply.retryable) == (GRPC_RESOURCE_EXHAUSTED, False)


def test_a_million_small_spans() -> None:
    tick = scanned(request(*[span()] * 1_000_000))
    assert tick is not None
    assert tick.docs()[0].items == 1_000_000


def test_a_span_of_many_attributes() -> None:
    body = request(span(rest=field(9, attribute("key", "value")) * 100_000))
    began = time.process_time()
    assert accepted(body)
    assert time.process_time() - began < 0.05


def test_many_resources() -> None:
    body = request(span(), resource=field(1, attribute("service.name", "cart"))) * 100_000
    began = time.process_time()
    assert accepted(body)
    assert time.process_time() - began < 0.2


@pytest.mark.parametrize("signal", SIGNALS)
def test_every_cut_of_a_request_is_read_to_its_end_only(signal: int) -> None:
    """The byte behind it is on a page that faults."""
    guard = Guard(1 << 16)
    status = field(15, field(2, b"words") + field(3, 2))
    one = span(
        state="ot=th:8;rv:f0000000000000", rest=status + field(9, attribute("k", "v" * 200)) + b"\x85\x01\1\0\0\0"
    )
    points = field(7, field(1, b"point") + field(2, 1))
    body = request(
        one, one, points, points, field(9, b"x" * 16) + one, resource=field(1, attribute("service.name", "a"))
    )
    tick = Tick.of(signal, [])
    for end in range(len(body) + 1):
        tick.add(signal, guard.place(body[:end]))
    inner = body[1 + 2 :]
    for end in range(len(inner) + 1):  # the same, with lengths that fit
        tick.add(signal, guard.place(field(1, inner[:end])))
        tick.add(signal, guard.place(field(1, field(2, inner[:end]))))
        tick.add(signal, guard.place(field(1, field(2, field(2, inner[-end:])))))
        tick.clear()


@pytest.mark.parametrize(
    "tail", [b"\x0a", b"\x12\x01", b"\x0b", b"\x09\0\0\0\0\0\0\0", b"\x0d\0\0\0", b"\x08\xff\xff\xff"]
)
def test_items_that_end_too_early_by_one_byte(tail: bytes) -> None:
    guard = Guard(4096)
    tick = Tick.of(TRACES, [])
    for _ in range(3):
        assert not tick.add(TRACES, guard.place(request(span() + tail)))


def test_an_extraordinary_request_leaves_no_large_tables() -> None:
    tick = Tick.of(TRACES, [])
    assert tick.add(TRACES, wrapped(b"\x12\x00" * MOST, 2, 1))
    large = resident()
    tick.clear()
    assert resident() < large - (64 << 20)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()


def test_tags_in_every_place_know_their_type() -> None:
    """A tag of a wire type that is not length-delimited is never taken for the field that we look for."""
    for number in (1, 3, 15):
        for kind in (0, 1, 5):
            tag = varint(number << 3 | kind) + bytes({0: 1, 1: 8, 5: 4}[kind])
            tick = scanned(request(tag + varint(4 << 3 | LEN) + b"\0"))
            assert tick is not None
            assert tick.items()[0].flags == 0
