"""Workers that are killed, and two workers as one gateway."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack

import pytest

from sidecar.errors import GrpcStatus
from sidecar.model import Signal
from tests.faults.books import duplicates, fresh, owner_of, seen, settle
from tests.harness import otlp
from tests.harness.clients import Client, Clients, statuses
from tests.harness.gateway import Gateway
from tests.harness.load import Generator, TrackingSinks
from tests.harness.patience import until
from tests.harness.sink import Answer, always, backends

pytestmark = pytest.mark.process

TWO = ("--workers", "2")


def connect_to_all_workers(gateway: Gateway, stack: ExitStack) -> list[Clients]:
    """Clients until every worker has some: the kernel spreads them as it likes."""
    made: list[Clients] = []
    while not made or not all(worker.connections >= 2 for worker in gateway.status().workers):
        made.append(stack.enter_context(Clients(gateway.address, 4)))
        until(made[-1].progressed(4), "clients are served")
        here = 4 * len(made)
        until(lambda: sum(w.connections for w in gateway.status().workers) >= here, "they are counted")  # noqa: B023
    return made


def kill(gateway: Gateway) -> None:
    """SIGKILL to the first worker."""
    pid = gateway.status().workers[0].pid
    assert pid > 0
    os.kill(pid, signal.SIGKILL)


def test_a_worker_of_two_is_killed() -> None:
    with ExitStack() as stack:
        sinks = stack.enter_context(backends(3, always(Answer(delay_s=0.02))))
        gateway = stack.enter_context(Gateway([sink.port for sink in sinks], *TWO))
        generator = stack.enter_context(Generator(gateway.port, spans=10, conns=8, streams=4, rate=200))
        loads = connect_to_all_workers(gateway, stack)
        kill(gateway)
        until(lambda: gateway.status().workers[0].restarts == 1 and gateway.up() == 3, "the worker is back")
        for load in loads:
            until(load.progressed(20), "clients are served")
        generated = generator.stop()
        for load in loads:
            load.stop()
        settle(gateway)
        found = seen(sinks)
        ledger = gateway.ledger()
        failures = [told for load in loads for told in load.failures]
        acknowledged = set().union(*(load.acknowledged for load in loads))
        assert acknowledged <= found.keys()
        assert statuses(failures) <= {GrpcStatus.UNAVAILABLE}
        assert len(failures) <= 4 * len(loads), "one request of each client was under way"
        assert generated.ok > 0
        assert generated.unavailable == generated.resource_exhausted == generated.other_status == 0
        assert len(generator.span_ids(generated.spans_sent) - found.keys()) <= generated.spans_sent - generated.spans_ok
        assert ledger.rejected == 0
        assert ledger.dropped.keys() == {"worker_crash"}
        assert ledger.dropped["worker_crash"] <= 4 * len(loads) * 8 + 8 * 4 * 10, "what was in flight"
        assert duplicates(found) == 0
        assert gateway.stop()[Signal.TRACES].received == ledger.received


def test_two_workers_split_no_trace() -> None:
    """Traces here span requests and connections, and so workers."""
    with (
        TrackingSinks(3) as sinks,
        Gateway(sinks.ports, *TWO) as gateway,
        Generator(gateway.port, spans=10, per_trace=37, conns=16, requests=3000, rate=3000) as generator,
    ):
        until(lambda: all(worker.connections for worker in gateway.status().workers), "both workers have clients")
        generated = generator.result()
        settle(gateway)
        assert gateway.ledger().forwarded == generated.spans_ok == generated.spans_sent == 30_000
        tracked = sinks.stop()
        assert (tracked.distinct_spans, tracked.duplicate_spans, tracked.split_traces) == (30_000, 0, 0)


def test_two_gateways_agree() -> None:
    """The same traces, through either of two gateways with the same backends in another order, meet at one backend."""
    with (
        TrackingSinks(3) as sinks,
        Gateway(sinks.ports, *TWO) as one,
        Gateway(sinks.ports[::-1]) as other,
    ):
        some = fresh(20)
        assert [owner_of(one, trace_id) for trace_id in some] == [owner_of(other, trace_id) for trace_id in some]
        for gateway in (one, other):
            with Generator(gateway.port, spans=10, requests=1000, seed=7) as generator:
                assert generator.result().spans_ok == 10_000
            settle(gateway)
        tracked = sinks.stop()
        assert (tracked.distinct_spans, tracked.duplicate_spans, tracked.split_traces) == (10_000, 10_000, 0)


def test_queued_loses_nothing_but_what_is_counted() -> None:
    """`ack: queued`: the client has its OK before a backend has the data; a crash loses what was in memory."""
    with ExitStack() as stack:
        sinks = stack.enter_context(backends(2, always(Answer(delay_s=0.1))))
        gateway = stack.enter_context(Gateway([sink.port for sink in sinks], *TWO, "--ack", "queued"))
        loads = connect_to_all_workers(gateway, stack)
        kill(gateway)
        until(lambda: gateway.status().workers[0].restarts == 1 and gateway.up() == 2, "the worker is back")
        for load in loads:
            until(load.progressed(20), "clients are served")
            load.stop()
        settle(gateway)
        found = seen(sinks)
        ledger = gateway.ledger()
        acknowledged = set().union(*(load.acknowledged for load in loads))
        assert ledger.dropped.keys() == {"worker_crash"}
        assert 0 < len(acknowledged - found.keys()) <= ledger.dropped["worker_crash"]
        assert ledger.forwarded <= len(found), "what is booked as forwarded is there"


def test_queued_without_a_backend_drops_in_the_end_what_it_says() -> None:
    with backends(1) as sinks:
        sinks[0].stop()
        environment = {"SPANGATE_DELIVERY_ACK": "queued", "SPANGATE_SHUTDOWN_DRAIN_TIMEOUT": "200ms"}
        gateway = Gateway([sinks[0].port], environment=environment, ready=False)
        with gateway, Client(gateway.address) as client:
            assert {client.export(otlp.spans(10)).status for _ in range(20)} == {GrpcStatus.OK}
            assert gateway.ledger().in_flight == 200
            final = gateway.stop()[Signal.TRACES]
            assert (final.received, final.forwarded, final.dropped_total) == (200, 0, 200)
