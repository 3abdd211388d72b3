"""The Collector in front of the gateway, behind it, and on both sides."""

from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from sidecar.errors import GrpcStatus
from sidecar.model import Signal
from tests.harness import otlp
from tests.harness.clients import Client
from tests.harness.collector import BATCH, Collector
from tests.harness.gateway import Gateway
from tests.harness.patience import until
from tests.harness.sink import Answer, Sink, arrived
from tests.interop.lane import Lane

pytestmark = pytest.mark.process

SIGNALS = tuple(otlp.MAKE)


def feed(address: str, n: int) -> None:
    """n requests of each signal, 20 items each, of several services."""
    with Client(address) as client:
        for i in range(n):
            for signal, make in otlp.MAKE.items():
                assert client.export(make(20, service=f"shop-{i % 3}"), signal).status is GrpcStatus.OK


def test_in_front_with_gzip_and_batches(lane: Lane, otelcol_binary: Path) -> None:
    with Collector(otelcol_binary, lane.address, BATCH).running() as collector:
        feed(collector.address, 20)
    found = lane.settle(*SIGNALS, at_least=3 * 20 * 20)
    assert found.total() == 3 * 20 * 20
    assert {message.compressed for message in lane.messages()} == {True}, "the Collector's default"


def test_in_front_when_backends_refuse_for_a_while(otelcol_binary: Path) -> None:
    """The Collector resends what it is told to, and everything arrives once."""
    refusals = iter([Answer(GrpcStatus.UNAVAILABLE, "not now", retry_after_s=0.02)] * 2)
    with (
        Sink(lambda _: next(refusals, Answer())) as sink,
        Gateway([sink.port], settings={"delivery.max_retries": 0}) as gateway,
        Collector(otelcol_binary, gateway.address, pipelines="traces").running() as collector,
    ):
        requests = [otlp.spans(20) for _ in range(10)]
        with Client(collector.address) as client:
            assert {client.export(request).status for request in requests} == {GrpcStatus.OK}
        until(lambda: len(sink.span_ids()) == 200, "all of it arrives")
        assert set(sink.span_ids().values()) == {1}
        assert gateway.metric("otlp_errors_total") > 0, "the Collector was turned away"
        assert gateway.ledger().rejected > 0


def test_in_front_of_a_gateway_that_is_restarted(otelcol_binary: Path) -> None:
    """A Go client across a drain and a new start on the same port: everything arrives, and once."""
    with ExitStack() as stack:
        sink = stack.enter_context(Sink())
        first = stack.enter_context(Gateway([sink.port]))
        collector = stack.enter_context(Collector(otelcol_binary, first.address, pipelines="traces").running())
        client = stack.enter_context(Client(collector.address))

        def hand_in() -> None:
            assert {client.export(otlp.spans(10)).status for _ in range(50)} == {GrpcStatus.OK}

        hand_in()
        first.stop()
        hand_in()
        second = stack.enter_context(Gateway([sink.port], port=first.port))
        hand_in()
        until(lambda: len(sink.span_ids()) == 1500, "everything arrives")
        assert set(sink.span_ids().values()) == {1}
        assert first.final[Signal.TRACES].forwarded + second.ledger().forwarded == 1500


def test_behind(otelcol_binary: Path) -> None:
    """What the Collector hands on is the same, whether it got it from the gateway or from the client itself."""
    requests = {signal: [make(20) for _ in range(10)] for signal, make in otlp.MAKE.items()}

    def hand_in(address: str) -> None:
        with Client(address) as client:
            for signal, bodies in requests.items():
                assert {client.export(body, signal).status for body in bodies} == {GrpcStatus.OK}

    with Sink() as direct, Collector(otelcol_binary, direct.address, BATCH).running() as collector:
        hand_in(collector.address)
        until(lambda: all(count(direct, signal) == 200 for signal in SIGNALS), "it arrives")
    with (
        Sink() as sink,
        Collector(otelcol_binary, sink.address, BATCH).running() as one,
        Collector(otelcol_binary, sink.address, BATCH).running() as other,
        Gateway([one.port, other.port]) as gateway,
    ):
        hand_in(gateway.address)
        until(lambda: all(count(sink, signal) == 200 for signal in SIGNALS), "it arrives")
        assert all(arrived([sink], signal) == arrived([direct], signal) for signal in SIGNALS)
        assert all(backend.sent[Signal.TRACES] for backend in gateway.status().backends)


def count(sink: Sink, signal: Signal) -> int:
    return arrived([sink], signal).total()


def test_on_both_sides(otelcol_binary: Path) -> None:
    """Collector, gateway, Collector: the second one writes what the first one wrote, byte by byte."""
    with (
        Sink() as sink,
        Collector(otelcol_binary, sink.address).running() as behind,
        Sink() as beside,
        Gateway([behind.port]) as gateway,
        Collector(otelcol_binary, gateway.address, BATCH, beside=beside.address).running() as front,
    ):
        feed(front.address, 10)
        everything = Counter[otlp.Item]()
        until(lambda: all(count(sink, signal) == count(beside, signal) == 200 for signal in SIGNALS), "it arrives")
        for signal in SIGNALS:
            everything += arrived([sink], signal)
            assert arrived([sink], signal) == arrived([beside], signal)
        assert set(everything.values()) == {1}
