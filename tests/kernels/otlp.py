"""What OTLP's messages are called, and the numbers of their fields."""

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.profiles.v1development.profiles_service_pb2 import ExportProfilesServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACES, LOGS, METRICS, PROFILES = range(4)
SIGNALS = (TRACES, LOGS, METRICS, PROFILES)
REQUESTS: dict[int, type[Message]] = {
    TRACES: ExportTraceServiceRequest,
    LOGS: ExportLogsServiceRequest,
    METRICS: ExportMetricsServiceRequest,
    PROFILES: ExportProfilesServiceRequest,
}
OLD_SCOPES = 1000

ITEM_RANDOM, ITEM_ERROR, ITEM_STATE, ITEM_STATE_TWICE, ITEM_BAD_ID = 1, 2, 4, 8, 16
OWNER_NONE, OWNER_SAMPLED_OUT, OWNER_REJECTED = 0xFFFF, 0xFFFE, 0xFFFD
GRPC_OK, GRPC_INVALID_ARGUMENT, GRPC_RESOURCE_EXHAUSTED, GRPC_INTERNAL = 0, 3, 8, 13


def parsed(signal: int, body: bytes) -> Message | None:
    """The message as protobuf reads it; None where it refuses to."""
    message = REQUESTS[signal]()
    try:
        message.ParseFromString(body)
    except Exception:  # noqa: BLE001 - DecodeError is not the only one that upb raises
        return None
    return message
