"""SIGTERM under load: what has come is answered, and clients that reconnect lose nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from sidecar.model import Signal
from tests.faults.books import duplicates, seen, settle
from tests.harness.clients import Clients
from tests.harness.gateway import Gateway
from tests.harness.load import Generator, TrackingSinks
from tests.harness.patience import until
from tests.harness.sink import Answer, always, backends

pytestmark = pytest.mark.process


class Counting(SpanExporter):
    """The stock exporter, and which spans it was told are safe."""

    def __init__(self, target: str) -> None:
        self.acknowledged: set[bytes] = set()
        self.failed = 0
        self._exporter = OTLPSpanExporter(target, insecure=True)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            contexts = [context for span in spans if (context := span.get_span_context())]
            self.acknowledged.update(context.span_id.to_bytes(8) for context in contexts)
        else:
            self.failed += 1
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def test_rolling_over_to_another_gateway() -> None:
    """Clients know both addresses. The first gateway drains while they send: no export of any of them fails."""
    with backends(2, always(Answer(delay_s=0.005))) as sinks:
        ports = [sink.port for sink in sinks]
        with Gateway(ports, "--workers", "2") as first, Gateway(ports) as second:
            both = f"ipv4:{first.address},{second.address}"
            exporter = Counting(both)
            provider = TracerProvider()
            provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=10))
            tracer = provider.get_tracer("rolling")
            with Clients(both, 6) as load:
                until(load.progressed(50), "clients are served")
                first.begin_to_stop()
                while first.process.poll() is None:
                    tracer.start_span("while it drains").end()
                until(load.progressed(50), "clients are served by the second one")
                tracer.start_span("after it").end()
            provider.shutdown()
            settle(second)
            found = seen(sinks)
            assert load.failures == []
            assert exporter.failed == 0
            assert load.acknowledged | exporter.acknowledged == found.keys()
            assert duplicates(found) == 0
            one, other = first.stop()[Signal.TRACES], second.stop()[Signal.TRACES]
            assert one.forwarded > 0
            assert other.forwarded > 0
            assert one.forwarded + other.forwarded == len(found)


def test_everything_that_was_sent_is_answered() -> None:
    """The generator opens no stream after GOAWAY: all those before it are answered OK, and no backend has more."""
    with TrackingSinks(3, delay_ms=2) as sinks, Gateway(sinks.ports, "--workers", "2") as gateway:
        with Generator(gateway.port, spans=10, conns=8, streams=16, seconds=30) as generator:
            until(lambda: gateway.ledger().forwarded > 20_000, "load is served")
            final = gateway.stop()[Signal.TRACES]
            generated = generator.result()
        tracked = sinks.stop()
        assert generated.unavailable == generated.resource_exhausted == generated.other_status == 0
        assert final.received == final.forwarded == generated.spans_ok == tracked.distinct_spans
        assert tracked.duplicate_spans == 0


def test_not_ready_before_it_drains() -> None:
    with (
        backends(1) as sinks,
        Gateway([sinks[0].port], settings={"shutdown.unready_for": "1s"}) as gateway,
        Clients(gateway.address, 2) as load,
    ):
        gateway.begin_to_stop()
        until(lambda: not gateway.ready(), "the gateway is not ready")
        assert gateway.page("/readyz") == (503, b"the gateway is draining\n")
        assert gateway.page("/healthz")[0] == 200
        until(load.progressed(10), "it serves on")
        load.stop()
        assert load.failures == []


def test_the_drain_runs_out_of_time() -> None:
    """A backend that does not answer: the client is told, the books are closed, the exit code is 0."""
    with backends(1, always(Answer(delay_s=30))) as sinks:
        settings = {"shutdown.drain_timeout": "300ms", "delivery.max_wait": "20s"}
        with Gateway([sinks[0].port], settings=settings) as gateway, Clients(gateway.address, 2) as load:
            until(lambda: gateway.ledger().in_flight == 16, "both wait")
            final = gateway.stop()[Signal.TRACES]
            until(lambda: len(load.failures) >= 2, "they are told")
            assert final.forwarded == 0
            assert final.received == final.rejected + final.dropped_total
