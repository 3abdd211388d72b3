"""Scenario: streams are reset, connections break, sockets fill. Guarantees: only what may be sent again is, and nothing
is lost, kept or booked twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from sidecar import worker
from sidecar.config.schema import BackoffConfig, BatchConfig, DeliveryConfig, RoutingConfig
from sidecar.errors import GrpcStatus
from sidecar.model import RoutingStrategy
from tests.harness.otlp import counted, spans
from tests.native.backend import Backend, Call, accept
from tests.native.node import Node, configured
from tests.native.patience import until

QUICK = DeliveryConfig(max_wait_s=1.0, max_retries=2, backoff=BackoffConfig(initial_s=0.01, max_s=0.02))


@pytest.fixture
async def node(backend: Backend) -> AsyncIterator[Node]:
    async with Node(configured([backend], delivery=QUICK)) as made:
        yield made


# ---- what ends


@pytest.mark.parametrize("code", [ErrorCodes.CANCEL, ErrorCodes.INTERNAL_ERROR, ErrorCodes.NO_ERROR])
async def test_a_stream_that_is_reset(node: Node, backend: Backend, code: ErrorCodes) -> None:
    backend.in_turn(lambda call: call.reset(code), accept)
    assert (await (await node.peer()).exported(spans(5))).status == GrpcStatus.OK
    assert len(backend.calls) == 2


async def test_a_stream_that_is_reset_where_nothing_may_be_sent_twice(backend: Backend) -> None:
    backend.script = lambda call: call.reset(ErrorCodes.INTERNAL_ERROR)
    async with Node(configured([backend], delivery=DeliveryConfig(may_duplicate_on_reset=False))) as node:
        answer = await (await node.peer()).exported(spans(5))
        assert (answer.status, len(backend.calls)) == (GrpcStatus.UNAVAILABLE, 1)


async def test_a_stream_that_is_refused(backend: Backend) -> None:
    """Provably not looked at: sent again at once, whatever may be sent twice."""
    backend.in_turn(lambda call: call.reset(ErrorCodes.REFUSED_STREAM), accept)
    delivery = DeliveryConfig(may_duplicate_on_reset=False, backoff=BackoffConfig(initial_s=5, max_s=5))
    async with Node(configured([backend], delivery=delivery)) as node:
        assert (await (await node.peer()).exported(spans(5))).status == GrpcStatus.OK
        assert len(backend.calls) == 2


async def test_goaway(node: Node, backend: Backend) -> None:
    """What is open ends where it is, the next call takes a new connection."""
    held: list[Call] = []
    backend.script = held.append
    peer = await node.peer()
    first = peer.export(spans(1))
    await until(lambda: held, "a call is open")
    held[0].session.goaway((1 << 31) - 1)
    await until(lambda: len(backend.sessions) == 2, "there is a new connection")
    second = peer.export(spans(2))
    await until(lambda: len(held) == 2, "a call is open there")
    assert held[1].session is backend.sessions[1]
    held[1].ok()
    held[0].ok()
    assert {(await answer.done()).status for answer in (first, second)} == {GrpcStatus.OK}
    await asyncio.wait_for(backend.sessions[0].closed.wait(), 5)
    assert len(backend.calls) == 2


async def test_goaway_that_leaves_a_call_out(backend: Backend) -> None:
    def script(call: Call) -> None:
        if call.session is backend.sessions[0]:
            call.session.goaway(0)
        else:
            call.ok()

    backend.script = script
    async with Node(configured([backend], delivery=DeliveryConfig(may_duplicate_on_reset=False))) as node:
        assert (await (await node.peer()).exported(spans(5))).status == GrpcStatus.OK
        assert len(backend.calls) == 2


@pytest.mark.parametrize("left", [0, 1, 3])
async def test_the_stream_ids_of_a_connection_to_a_backend_are_used_up(node: Node, backend: Backend, left: int) -> None:
    """What is open is answered where it is; the next call takes a new connection, and nothing is lost."""
    node.core.begin_streams_at(2**31 - 1 - 2 * left)
    backend.sessions[0].drop()
    await until(lambda: len(backend.sessions) == 2, "there is a new connection")
    peer = await node.peer()
    for _ in range(left + 1):
        assert (await peer.exported(spans(1))).status == GrpcStatus.OK
    assert len(backend.sessions) == 2
    node.core.begin_streams_at(0)
    held: list[Call] = []
    backend.script = held.append
    later = [peer.export(spans(1)) for _ in range(3)]
    await until(lambda: held, "a call is open")
    backend.script = accept
    held[0].ok()
    assert {(await answer.done()).status for answer in later} == {GrpcStatus.OK}
    assert len(backend.sessions) == 3
    assert node.books() == {"received": left + 4, "forwarded": left + 4}


@pytest.mark.parametrize("when", ["headers", "body", "answer"])
async def test_a_connection_that_breaks(node: Node, backend: Backend, when: str) -> None:
    def drop_first(call: Call) -> None:
        if call.session is backend.sessions[0]:
            call.session.drop()
        elif when == "answer" and call.session.open.get(call.stream) is None:
            call.ok()

    if when == "headers":
        backend.on_headers = drop_first
    elif when == "body":
        backend.on_data = drop_first
    else:
        backend.script = drop_first
    answer = await (await node.peer()).exported(spans(2000, padding=500))
    assert answer.status == GrpcStatus.OK
    assert len(backend.sessions) == 2
    assert node.books() == {"received": 2000, "forwarded": 2000}


async def test_a_connection_that_breaks_while_another_backend_is_up() -> None:
    """The parts go to the next owner, at once."""
    async with Backend() as one, Backend() as other:
        one.script = lambda call: call.session.drop()
        async with Node(configured([one, other], delivery=QUICK)) as node:
            message = spans(50)
            answer = await (await node.peer()).exported(message)
            assert answer.status == GrpcStatus.OK
            assert counted(other.messages) == counted([message])
            assert node.books() == {"received": 50, "forwarded": 50}


async def test_a_backend_that_goes_and_comes_back(node: Node, backend: Backend) -> None:
    peer = await node.peer()
    assert (await peer.exported(spans(1))).status == GrpcStatus.OK
    await backend.stop()
    await until(lambda: not any(row.up for row in node.page.backends()), "it is down")
    answer = peer.export(spans(3))
    await backend.start()
    assert (await answer.done()).status == GrpcStatus.OK, "the part has waited"


async def test_a_backend_that_stays_away(node: Node, backend: Backend) -> None:
    await backend.stop()
    await until(lambda: not any(row.up for row in node.page.backends()), "it is down")
    answer = await (await node.peer()).exported(spans(3))
    assert answer.status == GrpcStatus.UNAVAILABLE
    assert answer.retry_after_s == 1.0
    assert node.books() == {"received": 3, "rejected": 3}


async def test_a_backend_that_does_not_answer(node: Node, backend: Backend) -> None:
    """The client is told in time, and the call is given up."""
    held: list[Call] = []
    backend.script = held.append
    answer = await (await node.peer()).exported(spans(3))
    assert answer.status == GrpcStatus.UNAVAILABLE
    assert node.books() == {"received": 3, "rejected": 3}
    assert len(held) == 1


async def test_a_backend_that_is_silent(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open calls and no byte, not even for a PING: its connection is given up, long before TCP would."""
    monkeypatch.setattr(worker, "STALL_S", 0.2)
    async with Node(configured([backend])) as node:
        peer = await node.peer()
        assert (await peer.exported(spans(1))).status == GrpcStatus.OK
        transport = backend.sessions[0].transport
        assert transport is not None
        transport.pause_reading()
        assert (await peer.exported(spans(3))).status == GrpcStatus.OK
        assert len(backend.sessions) == 2
        transport.abort()


async def test_a_backend_that_thinks_for_long(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers the PING, so it is waited for."""
    monkeypatch.setattr(worker, "STALL_S", 0.2)
    async with Node(configured([backend])) as node:
        held: list[Call] = []
        backend.script = held.append
        answer = (await node.peer()).export(spans(3))
        await until(lambda: backend.sessions[0].pings >= 1, "it is asked for a sign of life")
        await until(lambda: backend.sessions[0].pings >= 2, "and again")
        held[0].ok()
        assert (await answer.done()).status == GrpcStatus.OK
        assert len(backend.sessions) == 1


async def test_a_slow_owner_is_passed_over() -> None:
    """Half of its time over and unsent: the next owner has it."""
    async with Backend() as one, Backend() as other:
        held: list[Call] = []
        one.script = held.append
        delivery = DeliveryConfig(max_wait_s=1.0, max_in_flight=1)
        routing = RoutingConfig(strategy=RoutingStrategy.ROUND_ROBIN)
        batch = BatchConfig(max_wait_s=5.0)
        async with Node(configured([one, other], delivery=delivery, routing=routing, batch=batch)) as node:
            peer = await node.peer()
            first = [peer.export(spans(1)) for _ in range(2)]
            await until(lambda: held and other.calls, "both have had a call")
            second = [peer.export(spans(1)) for _ in range(4)]
            assert [(await answer.done()).status for answer in second] == [GrpcStatus.OK] * 4
            assert len(held) == 1
            statuses = {(await answer.done()).status for answer in first}
            assert statuses == {GrpcStatus.OK, GrpcStatus.UNAVAILABLE}
            assert node.books() == {"received": 6, "forwarded": 5, "rejected": 1}


# ---- flow


@pytest.mark.parametrize("window", [65_535, 100_000])
async def test_small_windows(window: int) -> None:
    async with Backend(window=window) as backend, Node(configured([backend])) as node:
        message = spans(3000, padding=800)
        assert (await (await node.peer()).exported(message)).status == GrpcStatus.OK
        assert backend.messages == [message]


async def test_a_backend_that_reads_slowly() -> None:
    """2.5 MB to a socket that takes some KB at a time: what it does not take waits, and arrives whole."""
    async with Backend(window=16 << 20, receive_buffer=4096) as backend, Node(configured([backend])) as node:
        peer = await node.peer()
        assert (await peer.exported(spans(1))).status == GrpcStatus.OK
        transport = backend.sessions[0].transport
        assert transport is not None
        transport.pause_reading()
        messages = [spans(700, padding=800) for _ in range(4)]
        answers = [peer.export(message) for message in messages]
        await until(lambda: node.books().get("in_flight") == 2800, "they have arrived")
        for _ in range(30):
            transport.resume_reading()
            await asyncio.sleep(0.001)
            transport.pause_reading()
            await asyncio.sleep(0.001)
        transport.resume_reading()
        assert {(await answer.done()).status for answer in answers} == {GrpcStatus.OK}
        assert counted(backend.messages[1:]) == counted(messages)


async def test_a_connection_that_breaks_with_unsent_bytes() -> None:
    async with Backend(window=16 << 20, receive_buffer=4096) as backend, Node(configured([backend])) as node:
        peer = await node.peer()
        assert (await peer.exported(spans(1))).status == GrpcStatus.OK
        first = backend.sessions[0]
        assert first.transport is not None
        first.transport.pause_reading()
        message = spans(3000, padding=800)
        answer = peer.export(message)
        await until(lambda: node.books().get("in_flight") == 3000, "it has arrived")
        first.drop()
        assert (await answer.done()).status == GrpcStatus.OK
        assert backend.messages[1:] == [message]


async def test_an_early_refusal_of_a_large_call() -> None:
    """The backend answers before it has read the body; its bytes are still on their way, and must not be freed."""
    async with Backend(window=16 << 20, receive_buffer=4096) as backend, Node(configured([backend])) as node:

        def refuse_large(call: Call) -> None:
            if call.stream > 1:
                call.fail(GrpcStatus.INVALID_ARGUMENT, "not read")

        peer = await node.peer()
        assert (await peer.exported(spans(1))).status == GrpcStatus.OK
        backend.on_headers = refuse_large
        backend.script = lambda call: None
        answer = await peer.exported(spans(3000, padding=800))
        assert (answer.status, answer.words) == (GrpcStatus.INVALID_ARGUMENT, "not read")
        backend.on_headers, backend.script = lambda call: None, accept
        assert (await peer.exported(spans(1))).status == GrpcStatus.OK


async def test_a_backend_with_room_for_one_stream(backend: Backend) -> None:
    backend.settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 1
    async with Node(configured([backend], batch=BatchConfig(max_items=1))) as node:
        peers = [await node.peer() for _ in range(3)]
        answers = [peer.export(spans(2)) for peer in peers for _ in range(5)]
        assert {(await answer.done()).status for answer in answers} == {GrpcStatus.OK}
        assert all(session.faults == [] for session in backend.sessions)
        assert node.books() == {"received": 30, "forwarded": 30}


async def test_a_backend_that_breaks_the_protocol(node: Node, backend: Backend) -> None:
    """It is left, and dialled again."""
    backend.script = lambda call: call.session.raw(b"\xff" * 100) if len(backend.sessions) == 1 else call.ok()
    assert (await (await node.peer()).exported(spans(1))).status == GrpcStatus.OK
    assert len(backend.sessions) == 2
