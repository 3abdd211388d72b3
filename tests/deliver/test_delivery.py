"""The delivery of a whole worker, with backends that answer by script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sidecar.config.schema import DeliveryConfig
from sidecar.deliver import breaker, delivery
from sidecar.deliver.failure import LONGEST_PAUSE_S, NO_STATUS, REFUSED_STREAM, Failure
from sidecar.deliver.verdict import judge
from sidecar.errors import GrpcStatus
from tests.deliver.failures import CANCEL, INTERNAL_ERROR
from tests.harness import otlp
from tests.native.backend import Backend, Call
from tests.native.node import Node, configured
from tests.native.patience import until
from tests.native.peer import Peer

AT_ONCE = DeliveryConfig(max_retries=0)
"""What fails goes to the next owner without a retry."""
ONE_CALL = DeliveryConfig(max_in_flight=1)
"""Parts gather while a call is open."""


def unavailable(call: Call) -> None:
    call.fail(GrpcStatus.UNAVAILABLE, "not now")


# ---- what the native side tells


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Failure]:
    """The failures that were judged."""
    failures: list[Failure] = []

    def listen(failure: Failure, *rest: object, **more: object) -> object:
        failures.append(failure)
        return judge(failure, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(delivery, "judge", listen)
    return failures


async def test_a_failure_is_told_in_the_order_of_its_fields(told: list[Failure]) -> None:
    async with Backend(lambda call: call.fail(8, "slow%20down", 0.001)) as backend, Node(configured([backend])) as node:
        backend.in_turn(backend.script, lambda call: call.ok())
        peer = await node.peer()
        answer = await peer.exported(otlp.spans(7))
    assert answer.status is GrpcStatus.OK
    [failure] = told
    assert failure.words == "slow down"
    assert failure.retry_after_s == 0.001
    assert 0 <= failure.age_s < failure.left_s
    assert failure._replace(message=b"", details=b"", age_s=0.0, left_s=0.0) == Failure(
        slot=0,
        grpc_status=8,
        http_status=200,
        h2_error=0,
        connection_lost=False,
        unprocessed=False,
        parts=1,
        items=7,
        tries=1,
        rerouted=False,
        message=b"",
        details=b"",
        answer=b"",
        age_s=0.0,
        left_s=0.0,
    )


async def test_how_calls_end_without_an_answer(told: list[Failure]) -> None:
    async with Backend() as backend, Node(configured([backend])) as node:
        peer = await node.peer()
        for ending in (
            lambda call: call.http(503),
            lambda call: call.reset(REFUSED_STREAM),
            lambda call: call.reset(CANCEL),
            lambda call: call.session.drop(),
        ):
            backend.in_turn(ending, lambda call: call.ok())
            assert (await peer.exported(otlp.spans(3))).status is GrpcStatus.OK, "sent again"
            await until(lambda: node.page.backends()[0].up, "the connection is back")
    assert [(one.grpc_status, one.http_status, one.h2_error) for one in told] == [
        (NO_STATUS, 503, 0),
        (NO_STATUS, 0, REFUSED_STREAM),
        (NO_STATUS, 0, CANCEL),
        (NO_STATUS, 0, INTERNAL_ERROR),
    ]
    assert [one.unprocessed for one in told] == [False, True, False, False]
    assert [one.connection_lost for one in told] == [False, False, False, True]


async def test_a_retry_info_of_ten_thousand_years_breaks_nothing() -> None:
    def later(call: Call) -> None:
        call.fail(GrpcStatus.RESOURCE_EXHAUSTED, "later", 3e11)

    async with Backend(later) as backend, Node(configured([backend], delivery=AT_ONCE)) as node:
        peer = await node.peer()
        answer = await peer.exported(otlp.spans(3))
        assert answer.status is GrpcStatus.UNAVAILABLE
        assert answer.retry_after_s == LONGEST_PAUSE_S
        assert node.books() == {"received": 3, "rejected": 3}


# ---- backends that are not well


@asynccontextmanager
async def passed_over(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Node, Peer, Backend, Backend]]:
    """A node, a client, and two backends; the second one has failed so often that it is passed over, for long."""
    monkeypatch.setattr(breaker, "HOLD_S", 1000.0)
    async with Backend() as good, Backend(unavailable) as bad, Node(configured([good, bad], delivery=AT_ONCE)) as node:
        peer = await node.peer()
        while not_well(node) == 0:
            await exported_to_both(peer)
        assert len(bad.calls) == breaker.LIMIT
        yield node, peer, good, bad


async def exported_to_both(peer: Peer) -> None:
    """Spans of so many traces that each backend owns some."""
    assert (await peer.exported(otlp.spans(40, per_trace=1))).status is GrpcStatus.OK


def not_well(node: Node) -> int:
    """How many backends are not up."""
    return sum(not row.up for row in node.page.backends())


async def test_a_backend_that_fails_is_passed_over_whatever_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    async with passed_over(monkeypatch) as (node, peer, good, bad):
        bad.sessions[0].h2.ping(b"how r u?")
        bad.sessions[0].flush()
        await until(lambda: bad.sessions[0].pongs, "the gateway has heard it")
        for _ in range(5):
            await exported_to_both(peer)
        assert not_well(node) == 1
        assert len(bad.calls) == breaker.LIMIT
        assert node.books()["forwarded"] == sum(len(otlp.ids(message)) for message in good.messages)


async def test_a_backend_that_is_passed_over_is_better_than_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async with passed_over(monkeypatch) as (node, peer, good, bad):
        bad.script = lambda call: call.ok()
        await good.stop()
        await until(lambda: not_well(node) == 1, "the other is gone, and this one is up")
        await exported_to_both(peer)
        await good.start()
        await until(lambda: not_well(node) == 0, "both are up")


async def test_a_new_connection_is_a_new_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    async with passed_over(monkeypatch) as (node, peer, _, bad):
        await bad.stop()
        await bad.start()
        await until(lambda: not_well(node) == 0, "it is up again")
        await exported_to_both(peer)
        assert len(bad.calls) == breaker.LIMIT + 1
        assert not_well(node) == 1, "one failure is enough now"


# ---- calls that come too late


async def impatient(peer: Peer, n: int) -> None:
    """n requests of clients that wait for 200 ms, one after the other."""
    for _ in range(n):
        answer = await peer.export(otlp.spans(40, per_trace=1), extra=[("grpc-timeout", "200m")]).done()
        assert answer.status is GrpcStatus.UNAVAILABLE


async def test_a_call_that_nobody_waits_for_is_forgotten(told: list[Failure]) -> None:
    """It ends there: it is not handed on, and a backend that was given no time is not to blame."""
    async with Backend() as good, Backend(lambda call: None) as held, Node(configured([good, held])) as node:
        await impatient(await node.peer(), breaker.LIMIT + 1)
        assert {one.left_s for one in told} == {-1.0}
        assert not_well(node) == 0
        assert sum(row.rerouted for row in node.page.backends()) == 0


async def test_a_backend_that_has_had_its_time_is_to_blame() -> None:
    delivery = DeliveryConfig(max_wait_s=0.2)
    async with (
        Backend() as good,
        Backend(lambda call: None) as held,
        Node(configured([good, held], delivery=delivery)) as node,
    ):
        peer = await node.peer()
        await impatient(peer, breaker.LIMIT)
        await until(lambda: not_well(node) == 1, "it is passed over")


async def test_of_a_merged_call_the_parts_in_time_are_sent_again() -> None:
    """It fails between the end of one part's time and that of the other's."""
    first: list[Call] = []
    async with Backend(first.append) as backend, Node(configured([backend], delivery=ONE_CALL)) as node:
        peer = await node.peer()
        opening = peer.export(otlp.spans(1))
        await until(lambda: first, "a call is open")
        early = peer.export(otlp.spans(2), extra=[("grpc-timeout", "150m")])
        late = peer.export(otlp.spans(3))
        await until(lambda: node.books().get("in_flight") == 6, "two parts gather")
        held: list[Call] = []
        backend.script = held.append
        first[0].ok()
        await opening.done()
        await until(lambda: held, "they are sent as one call")
        assert (await early.done()).status is GrpcStatus.UNAVAILABLE
        backend.script = lambda call: call.ok()
        held[0].fail(GrpcStatus.UNAVAILABLE)
        assert (await late.done()).status is GrpcStatus.OK
        assert node.books() == {"received": 6, "forwarded": 4, "rejected": 2}
