"""A call that did not simply end in OK: what the wire said of it, as values."""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple
from urllib.parse import unquote

from sidecar.errors import GrpcStatus

REFUSED_STREAM = 7
"""HTTP/2 error: the server has not looked at the request."""

RETRYABLE = frozenset(
    {
        GrpcStatus.CANCELLED,
        GrpcStatus.DEADLINE_EXCEEDED,
        GrpcStatus.ABORTED,
        GrpcStatus.OUT_OF_RANGE,
        GrpcStatus.UNAVAILABLE,
        GrpcStatus.DATA_LOSS,
    }
)
"""OTLP specification, "Failures": exactly these, and RESOURCE_EXHAUSTED when RetryInfo comes with it."""

_OF_HTTP = {
    400: GrpcStatus.INTERNAL,
    401: GrpcStatus.UNAUTHENTICATED,
    403: GrpcStatus.PERMISSION_DENIED,
    404: GrpcStatus.UNIMPLEMENTED,
    429: GrpcStatus.UNAVAILABLE,
    502: GrpcStatus.UNAVAILABLE,
    503: GrpcStatus.UNAVAILABLE,
    504: GrpcStatus.UNAVAILABLE,
}
"""https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md"""

NO_STATUS = -1
LONGEST_PAUSE_S = 3600.0
"""A RetryInfo of ten thousand years is valid too: more than this is taken for this."""


class Failure(NamedTuple):
    """One call, as `Outbox.failure` tells of it. The order of the fields is the native one."""

    slot: int
    grpc_status: int
    """-1 when none arrived."""
    http_status: int
    """0 when none arrived."""
    h2_error: int
    connection_lost: bool
    unprocessed: bool
    """The backend has certainly not seen the call."""
    parts: int
    items: int
    tries: int
    rerouted: bool
    """The parts come from another owner already."""
    message: bytes
    """grpc-message, percent-encoded."""
    details: bytes
    """grpc-status-details-bin, base64."""
    answer: bytes
    """The message that came back, with its gRPC prefix."""
    age_s: float
    left_s: float
    """Until somebody's time is up; negative when nobody waits for the call any more."""

    @property
    def status(self) -> GrpcStatus:
        """The status of the call; where the backend gave none, what HTTP and gRPC make of that."""
        if self.grpc_status != NO_STATUS:
            return GrpcStatus(self.grpc_status) if self.grpc_status in _KNOWN else GrpcStatus.UNKNOWN
        if not self.refused:
            return GrpcStatus.UNAVAILABLE
        return _OF_HTTP.get(self.http_status, GrpcStatus.UNKNOWN)

    @property
    def words(self) -> str:
        """What the backend said, in words."""
        return unquote(self.message.decode("latin-1"), errors="replace")

    @property
    def retry_after_s(self) -> float | None:
        """RetryInfo of the status details, at most LONGEST_PAUSE_S; None without, or where they do not parse."""
        if not self.details:
            return None
        # Here and not above: protobuf would cost each worker 5 MB, and most never see a status with details.
        from google.protobuf.message import DecodeError
        from google.rpc.error_details_pb2 import RetryInfo
        from google.rpc.status_pb2 import Status

        try:
            status = Status.FromString(base64.b64decode(self.details + b"=" * (-len(self.details) % 4)))
            for detail in status.details:
                info = RetryInfo()
                if detail.Unpack(info):
                    after_s: float = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
                    return min(max(after_s, 0.0), LONGEST_PAUSE_S)
        except (binascii.Error, DecodeError):
            return None
        return None

    @property
    def retryable(self) -> bool:
        """Whether OTLP lets us send it again."""
        status = self.status
        return status in RETRYABLE or (status is GrpcStatus.RESOURCE_EXHAUSTED and self.retry_after_s is not None)

    @property
    def refused(self) -> bool:
        """Whether somebody has plainly answered: what was refused has not been taken."""
        if self.grpc_status != NO_STATUS:
            return True
        return self.http_status != 0 and not (self.connection_lost or self.h2_error)


_KNOWN = frozenset(GrpcStatus)
