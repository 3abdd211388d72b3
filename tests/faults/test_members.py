"""Backends that are added and removed by SIGHUP, under load."""

from __future__ import annotations

import os

import pytest

from sidecar.errors import GrpcStatus
from tests.faults.books import duplicates, fresh, owner_of, seen, settle
from tests.harness import otlp
from tests.harness.clients import Client, Clients
from tests.harness.gateway import Gateway
from tests.harness.load import Generator, TrackingSinks
from tests.harness.patience import until
from tests.harness.sink import Answer, Sink, always, backends

pytestmark = pytest.mark.process


def one_span_of_each(traces: list[bytes]) -> bytes:
    return otlp.request(otlp.span(trace_id, os.urandom(8)) for trace_id in traces)


def owners(sinks: list[Sink]) -> dict[bytes, set[str]]:
    """Which sinks have spans of each trace."""
    return otlp.trace_owners({sink.address: sink.bodies() for sink in sinks})


def test_removing_one_loses_nothing_and_moves_its_own_traces_alone() -> None:
    """Long traces go on through the change: those of the backends that stay do not notice it."""
    long_traces = fresh(60)
    with (
        backends(3, always(Answer(delay_s=0.005))) as sinks,
        Gateway(
            [sink.port for sink in sinks], "--workers", "2", settings={"routing.affinity_window": "200ms"}
        ) as gateway,
        Clients(gateway.address, 6) as load,
        Clients(gateway.address, 2, lambda: one_span_of_each(long_traces)) as long_load,
    ):
        until(load.progressed(50), "clients are served")
        before = {trace_id: owner_of(gateway, trace_id) for trace_id in long_traces}
        gateway.reload([sink.port for sink in sinks[:2]])
        until(lambda: gateway.up() == 2, "the third one has left")
        until(load.progressed(50), "clients are served")
        load.stop()
        long_load.stop()
        settle(gateway)
        found = seen(sinks)
        assert load.failures == long_load.failures == []
        assert load.acknowledged | long_load.acknowledged == found.keys()
        assert duplicates(found) == 0
        after = {trace_id: owner_of(gateway, trace_id) for trace_id in long_traces}
        at = owners(sinks)
        assert all(at[trace_id] == {before[trace_id], after[trace_id]} for trace_id in long_traces)
        moved = {trace_id for trace_id in long_traces if before[trace_id] != after[trace_id]}
        assert moved == {trace_id for trace_id in long_traces if before[trace_id] == sinks[2].address}
        short = {trace_id: places for trace_id, places in at.items() if trace_id not in before}
        assert [places for places in short.values() if len(places) > 1] == []


def test_a_trace_that_has_begun_stays_where_it_is() -> None:
    """A backend is added: until the affinity window ends, what began before goes to its former owner."""
    traces = fresh(200)
    with (
        backends(3) as sinks,
        Gateway([sink.port for sink in sinks[:2]], settings={"routing.affinity_window": "30s"}) as gateway,
        Client(gateway.address) as client,
    ):
        assert client.export(one_span_of_each(traces)).status is GrpcStatus.OK
        former = owners(sinks)
        gateway.reload([sink.port for sink in sinks])
        until(lambda: gateway.up() == 3, "the third one is there")
        moving = [trace_id for trace_id in traces if owner_of(gateway, trace_id) == sinks[2].address]
        assert 30 < len(moving) < 110
        assert client.export(one_span_of_each(traces)).status is GrpcStatus.OK
        assert owners(sinks) == former, "no trace is split"


def test_a_trace_moves_after_the_window() -> None:
    traces = fresh(60)
    with (
        backends(2) as sinks,
        Gateway([sinks[0].port], settings={"routing.affinity_window": "50ms"}) as gateway,
        Client(gateway.address) as client,
    ):
        assert client.export(one_span_of_each(traces)).status is GrpcStatus.OK
        gateway.reload([sink.port for sink in sinks])
        until(lambda: gateway.up() == 2, "the second one is there")
        until(
            lambda: client.export(one_span_of_each(traces)).status is GrpcStatus.OK and sinks[1].received, "they move"
        )
        sinks[0].received.clear()
        sinks[1].received.clear()
        assert client.export(one_span_of_each(traces)).status is GrpcStatus.OK
        assert owners(sinks) == {trace_id: {owner_of(gateway, trace_id)} for trace_id in traces}


def test_a_reload_with_a_mistake_changes_nothing() -> None:
    with backends(2) as sinks, Gateway([sink.port for sink in sinks]) as gateway, Client(gateway.address) as client:
        before = gateway.status()
        gateway.rewrite({"routing.strategy": "by_mood"})
        until(lambda: gateway.events("the new configuration is refused, the old one stays"), "it is refused")
        assert client.export(otlp.spans(10)).status is GrpcStatus.OK
        assert gateway.status().generation == before.generation
        gateway.reload(settings={"routing.strategy": "round_robin"})
        assert gateway.status().strategy == "round_robin"


def test_reloads_under_load_cost_nothing() -> None:
    with (
        TrackingSinks(4) as sinks,
        Gateway(sinks.ports[:2], "--workers", "2") as gateway,
        Generator(gateway.port, spans=10, conns=8, seconds=30) as generator,
    ):
        for ports in (sinks.ports[:3], sinks.ports[1:], sinks.ports[:1], sinks.ports):
            before = gateway.ledger().forwarded
            gateway.reload(ports)
            until(lambda: gateway.ledger().forwarded > before + 2000, "load is served")  # noqa: B023
        generated = generator.stop()
        settle(gateway)
        assert generated.ok == generated.requests
        tracked = sinks.stop()
        assert (tracked.distinct_spans, tracked.duplicate_spans) == (generated.spans_sent, 0)
