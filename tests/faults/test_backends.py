"""Backends that die, hang, are slow, or are all away."""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest

from sidecar.errors import GrpcStatus
from sidecar.model import Signal
from tests.faults.books import duplicates, seen, settle, trace_ids
from tests.harness import otlp
from tests.harness.clients import Client, Clients, Exports, statuses
from tests.harness.gateway import Gateway
from tests.harness.load import Generator
from tests.harness.patience import until
from tests.harness.proxy import Proxy
from tests.harness.sink import Answer, Sink, always, backends
from tests.harness.witness import Witness

pytestmark = pytest.mark.process


def spans_of(traces: list[bytes], n: int = 4) -> bytes:
    """A request of n spans of each of these traces."""
    return otlp.request(otlp.span(trace_id, os.urandom(8)) for trace_id in traces for _ in range(n))


def test_one_of_three_is_killed_and_comes_back() -> None:
    clients, conns, streams, spans = 4, 2, 4, 10
    with ExitStack() as stack:
        witnesses = [stack.enter_context(Witness(delay_s=0.003)) for _ in range(3)]
        gateway = stack.enter_context(Gateway([witness.port for witness in witnesses]))
        load = stack.enter_context(Clients(gateway.address, clients))
        generator = stack.enter_context(Generator(gateway.port, spans=spans, conns=conns, streams=streams, rate=300))
        until(load.progressed(50), "clients are served")
        witnesses[1].kill()
        until(load.progressed(100), "clients are served while a backend is away")
        until(lambda: gateway.up() == 2, "the gateway sees that it has gone")
        witnesses[1].start()
        until(lambda: gateway.up() == 3, "the backend is back")
        until(load.progressed(50), "clients are served after it")
        generated = generator.stop()
        load.stop()
        settle(gateway)
        found = seen(witnesses)
        assert load.failures == []
        assert generated.ok == generated.requests, generated
        assert load.acknowledged | generator.span_ids(generated.spans_sent) == found.keys()
        assert duplicates(found) <= clients * 8 + conns * streams * spans, "at most what was in flight"
        assert gateway.metric("spangate_backend_rerouted_parts_total") > 0
        assert gateway.stop()[Signal.TRACES].forwarded == len(found)


def test_one_is_a_black_hole() -> None:
    """A stopped process still acknowledges bytes; a stalled proxy does not even read them."""
    settings = {"delivery.max_wait": "2s", "delivery.max_in_flight": 1}
    with (
        backends(3) as sinks,
        Proxy(sinks[2].port) as proxy,
        Gateway([sinks[0].port, sinks[1].port, proxy.port], settings=settings) as gateway,
    ):
        stalled = trace_ids(gateway, proxy.port, 4)
        others = [trace_id for sink in sinks[:2] for trace_id in trace_ids(gateway, sink.port, 4)]
        sent, unsent = Exports(gateway.address), Exports(gateway.address)
        proxy.stall()
        sent.begin(spans_of(stalled))
        until(lambda: gateway.status().backends[2].calls_in_flight == 1, "as many calls are open as may be")
        unsent.begin(*(spans_of(stalled) for _ in range(8)))
        until(lambda: gateway.ledger().in_flight == 9 * 16, "the rest waits at the gateway")
        with Clients(gateway.address, 2, lambda: spans_of(others)) as load:
            until(load.progressed(100), "the others are served")
            served_meanwhile = not sent.told
            sent.end()
            unsent.end()
            until(load.progressed(20), "the others are served")
        assert served_meanwhile, "parts for the others do not wait for the stalled ones"
        assert load.failures == []
        assert statuses(sent.told) == {GrpcStatus.UNAVAILABLE}
        assert all(told.retry_after_s for told in sent.told)
        assert statuses(unsent.told) == {GrpcStatus.OK}, "what was not sent went to the next owner"
        assert gateway.ledger().rejected == 16
        proxy.resume()
        until(lambda: gateway.up() == 3, "it is back")
        with Client(gateway.address) as client:
            assert client.export(spans_of(stalled)).status is GrpcStatus.OK
        settle(gateway)
        assert load.acknowledged <= seen(sinks).keys()
        assert duplicates(seen(sinks)) == 0, "nobody sent again what was under way"


def test_a_black_hole_is_given_up() -> None:
    """Silence for two seconds and no answer to a PING for two more: its traces go to the next owner, then come back."""
    with (
        backends(2) as sinks,
        Proxy(sinks[1].port) as proxy,
        Gateway([sinks[0].port, proxy.port], settings={"delivery.max_wait": "1s"}) as gateway,
        Client(gateway.address) as client,
    ):
        stalled = trace_ids(gateway, proxy.port, 4)
        proxy.stall()
        until(lambda: client.export(spans_of(stalled)).status is GrpcStatus.OK and gateway.up() == 1, "it is given up")
        assert {client.export(spans_of(stalled)).status for _ in range(5)} == {GrpcStatus.OK}
        proxy.resume()
        until(lambda: gateway.up() == 2, "it is back")
        sinks[1].received.clear()
        assert client.export(spans_of(stalled)).status is GrpcStatus.OK
        assert len(sinks[1].span_ids()) == 16


def test_a_long_way_to_a_backend() -> None:
    """Every piece takes 20 ms in each direction; larger requests than a window of 64 KiB go through."""
    with (
        backends(2) as sinks,
        Proxy(sinks[1].port) as proxy,
        Gateway([sinks[0].port, proxy.port]) as gateway,
        Clients(gateway.address, 4, lambda: otlp.spans(20, per_trace=1, padding=20_000)) as load,
    ):
        proxy.delay_s = 0.02
        until(load.progressed(20), "clients are served")
        load.stop()
        settle(gateway)
        assert load.failures == []
        assert load.acknowledged == seen(sinks).keys()
        assert duplicates(seen(sinks)) == 0
        assert len(sinks[1].span_ids()) > 100


def test_connections_to_a_backend_are_cut_again_and_again() -> None:
    with (
        backends(2) as sinks,
        Proxy(sinks[1].port) as proxy,
        Gateway([sinks[0].port, proxy.port]) as gateway,
        Clients(gateway.address, 4) as load,
    ):
        for _ in range(5):
            until(load.progressed(30), "clients are served")
            until(lambda: gateway.up() == 2, "the backend is back")
            proxy.cut()
        load.stop()
        settle(gateway)
        found = seen(sinks)
        assert load.failures == []
        assert load.acknowledged == found.keys()
        assert duplicates(found) <= 5 * 4 * 8, "at most what was in flight, each time"


def test_all_are_away_and_come_back() -> None:
    with (
        backends(2) as sinks,
        Gateway([sink.port for sink in sinks], settings={"delivery.max_wait": "300ms"}) as gateway,
        Clients(gateway.address, 4) as load,
    ):
        until(load.progressed(20), "clients are served")
        for sink in sinks:
            sink.stop()
        until(lambda: len(load.failures) >= 8, "clients are told")
        until(lambda: not gateway.ready(), "the gateway is not ready")
        assert gateway.page("/readyz") == (503, b"no backend is up\n")
        for sink in sinks:
            sink.start()
        until(gateway.ready, "the gateway is ready")
        until(load.progressed(20), "clients are served")
        load.stop()
        settle(gateway)
        assert statuses(load.failures) == {GrpcStatus.UNAVAILABLE}
        assert all(told.retry_after_s for told in load.failures)
        assert load.acknowledged <= seen(sinks).keys()
        assert 0 < gateway.ledger().rejected <= 8 * len(load.failures)


def test_one_is_slow() -> None:
    """Its answers take 200 ms; nothing is lost or sent twice, and the others do not wait for it."""
    with (
        Sink() as fast,
        Sink(always(Answer(delay_s=0.2))) as slow,
        Gateway([fast.port, slow.port]) as gateway,
        Clients(gateway.address, 4) as load,
    ):
        quick = trace_ids(gateway, fast.port, 4)
        with Clients(gateway.address, 1, lambda: spans_of(quick)) as lucky:
            until(lambda: load.exports >= 30, "clients of both are served")
        assert lucky.exports > load.exports, "who sends to the fast one alone does not wait"
        load.stop()
        settle(gateway)
        found = seen([fast, slow])
        assert load.failures == lucky.failures == []
        assert load.acknowledged | lucky.acknowledged == found.keys()
        assert duplicates(found) == 0
