"""What is measured with is measured first."""

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sidecar.errors import GrpcStatus
from sidecar.model import Signal
from tests.harness import details, otlp, tap
from tests.harness.clients import Client, Exports, statuses
from tests.harness.load import Generator, TrackingSinks
from tests.harness.patience import until
from tests.harness.proxy import Proxy
from tests.harness.sink import Answer, Sink, always
from tests.harness.witness import Witness


def test_retry_info_is_protobufs() -> None:
    packed = details.pack(14, "not now", 1.25)
    status = Status.FromString(packed)
    info = Any()
    info.Pack(RetryInfo(retry_delay=Duration(seconds=1, nanos=250_000_000)))
    assert status == Status(code=14, message="not now", details=[info])
    assert details.unpack(status.SerializeToString()) == 1.25
    assert details.unpack(Status(code=14).SerializeToString()) is None


def test_requests_are_what_they_say() -> None:
    traces = ExportTraceServiceRequest.FromString(otlp.spans(7, per_trace=3, state="a=b", padding=9))
    logs, metrics = (
        ExportLogsServiceRequest.FromString(otlp.logs(7)),
        ExportMetricsServiceRequest.FromString(otlp.metrics(7)),
    )
    (spans,) = [scope.spans for resource in traces.resource_spans for scope in resource.scope_spans]
    assert (len(spans), len({span.span_id for span in spans}), len({span.trace_id for span in spans})) == (7, 7, 3)
    assert [span.span_id for span in spans] == otlp.ids(traces.SerializeToString())
    assert [span.SerializeToString() for span in spans] == [i.body for i in otlp.items(traces.SerializeToString())]
    assert sum(len(scope.log_records) for r in logs.resource_logs for scope in r.scope_logs) == 7
    assert sum(len(scope.metrics) for r in metrics.resource_metrics for scope in r.scope_metrics) == 7


@pytest.mark.process
def test_a_sink_answers_by_its_script() -> None:
    body = otlp.spans(3)
    with Sink() as sink, Client(sink.address) as client:
        assert client.export(body).status is GrpcStatus.OK
        sink.script = always(Answer(rejected=2, words="too old"))
        assert client.export(body)[:4] == (GrpcStatus.OK, "too old", None, 2)
        sink.script = always(Answer(GrpcStatus.UNAVAILABLE, "not now", retry_after_s=0.5))
        assert client.export(body)[:4] == (GrpcStatus.UNAVAILABLE, "not now", 0.5, 0)
        assert sink.bodies() == [body, body]
        sink.stop()
        assert client.export(body).status is GrpcStatus.UNAVAILABLE
        sink.start()
        sink.script = always(Answer())
        until(lambda: client.export(otlp.logs(1), Signal.LOGS).status is GrpcStatus.OK, "it is back")
        assert len(sink.bodies(Signal.LOGS)) == 1


@pytest.mark.process
@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_tap_sees_what_is_sent(compression: grpc.Compression) -> None:
    bodies = [otlp.spans(3), otlp.spans(2000), b""]
    with Sink() as sink, Proxy(sink.port, tap=True) as proxy, Client(proxy.address, compression) as client:
        for body in bodies:
            client.export(body)
        assert [message.body for message in tap.messages(proxy.tapped)] == bodies
        assert {m.compressed for m in tap.messages(proxy.tapped) if m.body} == {compression is grpc.Compression.Gzip}


@pytest.mark.process
def test_a_stalled_proxy_takes_nothing_and_goes_on() -> None:
    with Sink() as sink, Proxy(sink.port) as proxy, Client(proxy.address) as client:
        assert client.export(otlp.spans(1)).status is GrpcStatus.OK
        proxy.stall()
        exports = Exports(proxy.address)
        exports.begin(otlp.spans(1))
        assert client.export(otlp.spans(1), timeout_s=0.1).status is GrpcStatus.DEADLINE_EXCEEDED
        assert len(sink.received) == 1
        proxy.resume()
        assert statuses(exports.end()) == {GrpcStatus.OK}
        proxy.cut()
        until(lambda: client.export(otlp.spans(1)).status is GrpcStatus.OK, "a new connection works")


@pytest.mark.process
def test_the_generators_span_ids_are_known() -> None:
    with Sink() as sink, Generator(sink.port, spans=5, requests=20, seed=3) as generator:
        assert generator.result().spans_ok == 100
        assert sink.span_ids().keys() == generator.span_ids(100)
    with TrackingSinks(2) as sinks:
        for port in sinks.ports:
            with Generator(port, spans=5, per_trace=5, requests=20, seed=3) as generator:
                generator.result()
        tracked = sinks.stop()
        assert (tracked.distinct_spans, tracked.traces, tracked.split_traces) == (200, 40, 20)


@pytest.mark.process
def test_what_a_witness_has_answered_outlives_it() -> None:
    body = otlp.spans(3)
    with Witness() as witness, Client(f"127.0.0.1:{witness.port}") as client:
        assert client.export(body).status is GrpcStatus.OK
        witness.kill()
        witness.start()
        until(lambda: client.export(body).status is GrpcStatus.OK, "it is back")
        assert set(witness.bodies()) == {body}
