"""Scenario: large requests, and many of them. Guarantees: limits hold to the byte, and memory is bounded."""

from __future__ import annotations

import pytest

from sidecar.config.schema import LimitsConfig
from sidecar.errors import GrpcStatus
from sidecar.model import Signal
from tests.harness.otlp import METHODS, request, span, spans
from tests.native.backend import Backend, Call, accept
from tests.native.node import Node, configured
from tests.native.patience import until

TRACES = METHODS[Signal.TRACES]
LIMIT = 4096


def of_size(size: int) -> bytes:
    """A message of exactly so many bytes."""
    padding = size - len(request([span(bytes(range(16)), b"12345678", padding=128)])) + 128
    message = request([span(bytes(range(16)), b"12345678", padding=padding)])
    while len(message) != size:
        padding += size - len(message)
        message = request([span(bytes(range(16)), b"12345678", padding=padding)])
    return message


@pytest.mark.parametrize("gzip", [False, True])
async def test_the_limit_of_a_message(backend: Backend, gzip: bool) -> None:
    async with Node(configured([backend], limits=LimitsConfig(message_bytes=LIMIT))) as node:
        peer = await node.peer()
        for size, status in (
            (LIMIT - 1, GrpcStatus.OK),
            (LIMIT, GrpcStatus.OK),
            (LIMIT + 1, GrpcStatus.RESOURCE_EXHAUSTED),
        ):
            answer = await peer.exported(of_size(size), gzip=gzip)
            assert answer.status == status, size
            assert answer.retry_after_s is None, "the client must not try again"
        assert [len(message) for message in backend.messages] == [LIMIT - 1, LIMIT]


async def test_a_large_message_is_refused_by_its_prefix(backend: Backend) -> None:
    async with Node(configured([backend], limits=LimitsConfig(message_bytes=LIMIT))) as node:
        peer = await node.peer()
        stream = peer.begin(TRACES)
        peer.send(stream, b"\0\0\0\x10\x01abc", end=False)
        answer = await peer.answers[stream].done()
        assert answer.status == GrpcStatus.RESOURCE_EXHAUSTED
        assert (await peer.exported(spans(1))).status == GrpcStatus.OK


async def test_a_bomb(backend: Backend) -> None:
    """64 MiB of zeros in 64 KB."""
    async with Node(configured([backend], limits=LimitsConfig(message_bytes=1 << 20))) as node:
        answer = await (await node.peer()).exported(bytes(64 << 20), gzip=True)
        assert (answer.status, answer.retry_after_s) == (GrpcStatus.RESOURCE_EXHAUSTED, None)
        assert node.core.memory()[2] < 8 << 20, "spare memory that the bomb has left"


async def test_a_body_larger_than_the_windows(node: Node, backend: Backend) -> None:
    """6 MB over a stream window of 1 MB and a connection window of 4 MB, split over calls of at most 4 MiB."""
    message = spans(6000, padding=1000)
    assert len(message) > 6_000_000
    answer = await (await node.peer()).exported(message)
    assert answer.status == GrpcStatus.OK
    assert len(backend.calls) > 1
    assert max(map(len, backend.messages)) <= 4 << 20
    assert node.books() == {"received": 6000, "forwarded": 6000}


async def test_many_bodies_at_a_time(node: Node) -> None:
    peers = [await node.peer() for _ in range(4)]
    answers = [peer.export(spans(300, padding=500)) for _ in range(10) for peer in peers]
    assert {(await answer.done()).status for answer in answers} == {GrpcStatus.OK}
    assert node.books() == {"received": 12_000, "forwarded": 12_000}


async def test_without_memory_requests_are_turned_away(backend: Backend) -> None:
    """By their HEADERS, with a time to come back; what was taken in is delivered."""
    held: list[Call] = []
    backend.script = held.append
    async with Node(configured([backend], limits=LimitsConfig(memory_bytes=4 << 20))) as node:
        peer = await node.peer()
        taken = [peer.export(spans(1000, padding=900)) for _ in range(6)]
        await until(lambda: node.core.booked() >= 4 << 20, "memory is used up")
        turned_away = await (await node.peer()).exported(spans(1))
        assert turned_away.status == GrpcStatus.UNAVAILABLE
        assert (turned_away.retry_after_s, turned_away.words) == (1.0, "the gateway's memory is used up")
        backend.script = accept
        for call in held:
            call.ok()
        statuses = [(await answer.done()).status for answer in taken]
        assert set(statuses) <= {GrpcStatus.OK, GrpcStatus.UNAVAILABLE}
        assert node.books()["forwarded"] == 1000 * statuses.count(GrpcStatus.OK) > 0
        assert (await (await node.peer()).exported(spans(1))).status == GrpcStatus.OK


async def test_a_client_that_takes_memory_and_leaves(node: Node) -> None:
    peer = await node.peer()
    filling = peer.begin(TRACES)
    peer.send(filling, b"\0\0\x50\0\0" + bytes(3 << 20), end=False)
    await until(lambda: node.core.booked() >= 3 << 20, "the body is kept")
    peer.reset(filling)
    await until(lambda: node.core.booked() == 0, "its memory is given back")
