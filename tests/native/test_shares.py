"""Scenario: clients want more than there is. Guarantees: who takes all it can get does not keep others out, bounds
hold, and what is refused is told to try again."""

from __future__ import annotations

import pytest

from sidecar.config.schema import DeliveryConfig, LimitsConfig
from sidecar.errors import GrpcStatus
from sidecar.model import Ack, Signal
from tests.harness.otlp import METHODS, spans
from tests.native.backend import Backend, Call
from tests.native.node import MIB, Node, configured
from tests.native.patience import until
from tests.native.peer import Answer, framed

LARGE = spans(4, padding=60_000)
"""A quarter of a megabyte."""


async def test_bodies_that_stop_in_the_middle_give_way(backend: Backend) -> None:
    """A client fills what incomplete bodies may hold; another one, under its share, is served all the same."""
    limits = LimitsConfig(memory_bytes=4 * MIB, message_bytes=MIB)
    async with Node(configured([backend], limits=limits)) as node:
        stuck, polite = await node.peer(), await node.peer()
        begun: list[Answer] = []
        for _ in range(20):
            stream = stuck.begin(METHODS[Signal.TRACES])
            stuck.send(stream, framed(LARGE)[:150_000], end=False)
            begun.append(stuck.answers[stream])
        await until(lambda: node.core.booked() > 1.5 * MIB, "they hold what they may")
        for _ in range(5):
            assert (await polite.exported(LARGE)).status is GrpcStatus.OK
        assert node.core.booked() < 4 * MIB
        stuck.drop()


# ---- items


@pytest.mark.parametrize("ack", [Ack.FORWARDED, Ack.QUEUED])
async def test_items_up_to_the_limit(backend: Backend, ack: Ack) -> None:
    """What finds as many in flight as there may be is turned away; what is larger than the limit is taken alone."""
    held: list[Call] = []
    backend.script = held.append
    limits, delivery = LimitsConfig(items=10), DeliveryConfig(ack=ack)
    async with Node(configured([backend], limits=limits, delivery=delivery)) as node:
        peer = await node.peer()
        taken = [peer.export(spans(6)), peer.export(spans(7))]
        await until(lambda: node.books().get("in_flight") == 13, "two are in flight")
        refused = [await peer.exported(spans(1)) for _ in range(3)]
        assert {answer.status for answer in refused} == {GrpcStatus.UNAVAILABLE}
        assert {answer.retry_after_s for answer in refused} == {1.0}
        assert {answer.words for answer in refused} == {"the gateway holds as many items as it may"}
        assert node.books() == {"received": 16, "in_flight": 13, "rejected": 3}
        backend.script = Call.ok
        for call in held:
            call.ok()
        assert {(await answer.done()).status for answer in taken} == {GrpcStatus.OK}
        await until(lambda: "in_flight" not in node.books(), "they have ended")
        assert (await peer.exported(spans(100))).status is GrpcStatus.OK
        await node.rest()
        assert node.books() == {"received": 116, "forwarded": 113, "rejected": 3}


async def test_items_of_one_turn_count_one_after_the_other(backend: Backend) -> None:
    """All are scanned before the first is admitted."""
    limits = LimitsConfig(items=10)
    async with Node(configured([backend], limits=limits)) as node:
        peer = await node.peer()
        backend.script = lambda call: None
        answers = [peer.export(spans(4)) for _ in range(6)]
        await until(lambda: node.books().get("rejected") == 12, "three are turned away")
        assert node.books() == {"received": 24, "in_flight": 12, "rejected": 12}
        told = [answer for answer in answers if answer.over.is_set()]
        await until(lambda: sum(answer.over.is_set() for answer in answers) == 3, "and told")
        assert {answer.status for answer in told} <= {GrpcStatus.UNAVAILABLE}


async def test_the_limit_changes_while_it_works(backend: Backend) -> None:
    backend.script = lambda call: None
    async with Node(configured([backend])) as node:
        peer = await node.peer()
        peer.export(spans(20))
        await until(lambda: node.books().get("in_flight") == 20, "in flight")
        await node.use(configured([backend], limits=LimitsConfig(items=5)))
        assert (await peer.exported(spans(1))).status is GrpcStatus.UNAVAILABLE
        await node.use(configured([backend], limits=LimitsConfig(items=0)))
        backend.script = Call.ok
        assert (await peer.exported(spans(1))).status is GrpcStatus.OK
        backend.sessions[0].drop()
