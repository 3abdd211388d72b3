"""Failed calls to test with."""

from __future__ import annotations

import base64

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from sidecar.deliver.failure import NO_STATUS, REFUSED_STREAM, Failure
from sidecar.errors import GrpcStatus

INTERNAL_ERROR = 2
CANCEL = 8
"""Errors of HTTP/2."""

REFUSED = Failure(
    slot=3,
    grpc_status=GrpcStatus.UNAVAILABLE,
    http_status=200,
    h2_error=0,
    connection_lost=False,
    unprocessed=False,
    parts=1,
    items=10,
    tries=1,
    rerouted=False,
    message=b"",
    details=b"",
    answer=b"",
    age_s=0.01,
    left_s=100.0,
)
"""A plain UNAVAILABLE of a call of one part, with plenty of time left."""

LOST = REFUSED._replace(grpc_status=NO_STATUS, http_status=0, h2_error=INTERNAL_ERROR, connection_lost=True)
"""The connection broke with the call open."""
UNSENT = LOST._replace(unprocessed=True)
"""The connection broke before a byte of the call was sent."""
RESET = REFUSED._replace(grpc_status=NO_STATUS, http_status=0, h2_error=CANCEL)
"""RST_STREAM in place of an answer."""
NOT_LOOKED_AT = RESET._replace(h2_error=REFUSED_STREAM, unprocessed=True)
"""REFUSED_STREAM, or a stream above the last one of a GOAWAY."""


def refused(status: GrpcStatus, words: str = "", retry_after_s: float | None = None, *, parts: int = 1) -> Failure:
    """A call that the backend has answered with a status."""
    details = b"" if retry_after_s is None else packed(retry_info(retry_after_s))
    return REFUSED._replace(grpc_status=status, message=words.encode(), details=details, parts=parts)


def retry_info(after_s: float) -> RetryInfo:
    """RetryInfo as google.rpc has it."""
    nanos = round(after_s * 1e9)
    sign = -1 if nanos < 0 else 1
    seconds, rest = divmod(abs(nanos), 10**9)
    return RetryInfo(retry_delay=Duration(seconds=sign * seconds, nanos=sign * rest))


def bad_request() -> BadRequest:
    """Another detail, which is none of ours."""
    return BadRequest(field_violations=[BadRequest.FieldViolation(field="spans", description="too many")])


def packed(*details: Message, padded: bool = False) -> bytes:
    """grpc-status-details-bin; gRPC leaves the padding away."""
    status = Status(code=GrpcStatus.UNAVAILABLE, message="later")
    for detail in details:
        status.details.add().Pack(detail)
    coded = base64.b64encode(status.SerializeToString())
    return coded if padded else coded.rstrip(b"=")


def partly(rejected: int, words: str = "too old", *, parts: int = 1, items: int = 10) -> Failure:
    """OK with partial_success."""
    partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=words)
    body = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
    answer = b"\0" + len(body).to_bytes(4) + body
    return REFUSED._replace(grpc_status=GrpcStatus.OK, parts=parts, items=items, answer=answer)
