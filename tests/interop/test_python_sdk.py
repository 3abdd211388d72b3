import time

import grpc
import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from sidecar.model import Signal
from tests.interop.lane import Lane

pytestmark = pytest.mark.process

COMPRESSIONS = [grpc.Compression.NoCompression, grpc.Compression.Gzip]
RESOURCE = Resource({"service.name": "shop", "service.version": "1", "zones": ["a", "b"]})


@pytest.fixture(params=COMPRESSIONS, ids=["plain", "gzip"])
def compression(request: pytest.FixtureRequest) -> grpc.Compression:
    found: grpc.Compression = request.param
    return found


def compressed(lane: Lane) -> set[bool]:
    return {message.compressed for message in lane.messages()}


def test_traces(lane: Lane, compression: grpc.Compression) -> None:
    exporter = OTLPSpanExporter(lane.address, insecure=True, compression=compression)
    provider = TracerProvider(resource=RESOURCE)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer, other = provider.get_tracer("one", "1.2"), provider.get_tracer("other")
    for i in range(200):
        with tracer.start_as_current_span("GET /", kind=SpanKind.SERVER, attributes={"i": i, "odd": [True]}) as parent:
            parent.add_event("began", {"at": 0.5})
            with other.start_as_current_span("SELECT", links=[Link(parent.get_span_context(), {"a": "b"})]) as child:
                child.set_status(Status(StatusCode.ERROR, "no such row"))
    provider.shutdown()
    lane.settle(Signal.TRACES, at_least=400)
    assert all(sink.received for sink in lane.sinks)
    assert compressed(lane) == {compression is grpc.Compression.Gzip}


def test_logs(lane: Lane, compression: grpc.Compression) -> None:
    exporter = OTLPLogExporter(lane.address, insecure=True, compression=compression)
    provider = LoggerProvider(resource=RESOURCE)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("shop.cart")
    for i in range(200):
        logger.emit(
            timestamp=time.time_ns(),
            severity_number=SeverityNumber.WARN,
            body={"text": "too many", "n": i},
            attributes={"i": i},
        )
    provider.shutdown()
    lane.settle(Signal.LOGS, at_least=200)
    assert compressed(lane) == {compression is grpc.Compression.Gzip}


def test_metrics(lane: Lane, compression: grpc.Compression) -> None:
    exporter = OTLPMetricExporter(lane.address, insecure=True, compression=compression)
    provider = MeterProvider([PeriodicExportingMetricReader(exporter)], RESOURCE)
    meter = provider.get_meter("shop.cart")
    counter, histogram = meter.create_counter("orders"), meter.create_histogram("latency", "ms")
    meter.create_gauge("depth").set(3)
    for i in range(50):
        counter.add(1, {"i": i})
        histogram.record(i)
    provider.shutdown()
    lane.settle(Signal.METRICS, at_least=3)
    assert lane.forwarded(Signal.METRICS) == 52, "data points are counted, not metrics"
    assert compressed(lane) == {compression is grpc.Compression.Gzip}
