"""Parts whose time runs out, and clients that do not wait for the end: who is told what, and what the ledger says."""

from __future__ import annotations

import threading

import pytest

from sidecar.errors import GrpcStatus
from tests.faults.books import duplicates, seen, settle, trace_ids
from tests.faults.test_backends import spans_of
from tests.harness import otlp
from tests.harness.clients import Client, Exports, statuses
from tests.harness.gateway import Gateway
from tests.harness.patience import until
from tests.harness.proxy import Proxy
from tests.harness.sink import Answer, Received, Sink, always, backends

pytestmark = pytest.mark.process


def test_a_slow_call_is_handed_on_where_it_may_arrive_twice() -> None:
    """Half of the time is over without an answer: the next owner gets it too, and answers for it."""
    settings = {"delivery.max_wait": "2s", "delivery.may_duplicate_on_timeout": True}
    with backends(2) as sinks, Gateway([sink.port for sink in sinks], settings=settings) as gateway:
        body = spans_of(trace_ids(gateway, sinks[1].port, 4))
        sinks[1].script = always(Answer(delay_s=1.5))
        with Client(gateway.address) as client:
            assert client.export(body).status is GrpcStatus.OK
        assert set(sinks[0].span_ids()) == set(otlp.ids(body)), "the next owner has it"
        settle(gateway)
        until(lambda: len(sinks[1].received) == 1, "so has the slow one, in the end")
        assert duplicates(seen(sinks)) == 16
        ledger = gateway.ledger()
        assert (ledger.received, ledger.forwarded, ledger.rejected) == (16, 16, 0), "and it is booked once"
        assert gateway.metric("spangate_backend_rerouted_parts_total") == 1


def test_a_slow_call_is_not_handed_on_by_default() -> None:
    with backends(2) as sinks, Gateway([s.port for s in sinks], settings={"delivery.max_wait": "1s"}) as gateway:
        body = spans_of(trace_ids(gateway, sinks[1].port, 4))
        sinks[1].script = always(Answer(delay_s=1.5))
        with Client(gateway.address) as client:
            assert client.export(body).status is GrpcStatus.UNAVAILABLE
        settle(gateway)
        assert sinks[0].received == []
        ledger = gateway.ledger()
        assert (ledger.received, ledger.forwarded, ledger.rejected) == (16, 0, 16)
        until(lambda: gateway.events("a call to a backend came to an end too late"), "it is said for what it is")


def test_clients_in_a_hurry_are_no_fault_of_the_backend() -> None:
    """Ten calls that nobody waits for any more: it is not passed over."""
    with backends(2) as sinks, Gateway([sink.port for sink in sinks]) as gateway, Client(gateway.address) as client:
        body = spans_of(trace_ids(gateway, sinks[1].port, 4))
        sinks[1].script = always(Answer(delay_s=0.4))
        for _ in range(10):
            assert client.export(body, timeout_s=0.2).status in {GrpcStatus.UNAVAILABLE, GrpcStatus.DEADLINE_EXCEEDED}
        assert gateway.up() == 2
        assert gateway.metric("spangate_backend_rerouted_parts_total") == 0
        settle(gateway)


def test_what_has_its_ok_is_tried_for_as_long_as_is_set() -> None:
    """Then it is dropped, and the ledger says why."""
    settings = {"delivery.ack": "queued", "delivery.queued_for": "500ms", "delivery.max_retries": 0}
    with (
        Sink(always(Answer(GrpcStatus.UNAVAILABLE, "not now"))) as sink,
        Gateway([sink.port], settings=settings) as gateway,
        Client(gateway.address) as client,
    ):
        assert {client.export(otlp.spans(7)).status for _ in range(3)} == {GrpcStatus.OK}
        settle(gateway)
        ledger = gateway.ledger()
        assert (ledger.received, ledger.forwarded, dict(ledger.dropped)) == (21, 0, {"expired": 21})
        sink.script = always(Answer())
        assert client.export(otlp.spans(7)).status is GrpcStatus.OK
        until(lambda: gateway.ledger().forwarded == 7, "what is in time arrives")


SHORT = {"limits.memory_bytes": "8MiB", "limits.message_bytes": "4MiB", "limits.soft_memory_ratio": 0.5}
ONE_BY_ONE = {"delivery.max_in_flight": 1, "delivery.max_wait": "20s", "batch.max_wait": "15s"}


@pytest.mark.parametrize("max_bytes", ["100KiB", "4MiB"])
def test_unsent_parts_of_clients_that_have_gone_make_room(max_bytes: str) -> None:
    """Above the soft mark of the memory they are dropped; what is under way, and what fits below the mark, arrives."""
    held, go_on = threading.Event(), threading.Event()

    def hold(_: Received) -> Answer:
        held.set()
        go_on.wait(20)
        return Answer()

    settings = SHORT | ONE_BY_ONE | {"batch.max_bytes": max_bytes}
    with (
        Sink(hold) as sink,
        Gateway([sink.port], settings=settings) as gateway,
        Proxy(gateway.port) as proxy,
    ):
        exports = Exports(proxy.address)
        exports.begin(*(otlp.spans(4, padding=60_000) for _ in range(30)))
        until(held.is_set, "a call is open")
        until(lambda: gateway.ledger().in_flight >= 4 * 17, "there is more than the soft mark")
        proxy.cut()
        assert statuses(exports.end()) == {GrpcStatus.UNAVAILABLE}
        until(lambda: gateway.ledger().dropped.get("client_gone", 0) > 0, "it is dropped")
        assert gateway.ledger().in_flight > 0
        go_on.set()
        settle(gateway)
        ledger = gateway.ledger()
        assert ledger.received == ledger.forwarded + ledger.dropped["client_gone"] + ledger.rejected
        assert sum(sink.span_ids().values()) == ledger.forwarded > 0
