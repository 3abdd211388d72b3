"""Checks that call the collector: a TCP connection, a page over HTTP, gRPC health."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sidecar.load.page import Url, fetch
from sidecar.load.verdict import GOOD, Verdict
from sidecar.model import Endpoint

_PAGE_LIMIT_BYTES = 64 << 10
_SERVING = 1
_STATUS = {0: "UNKNOWN", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


@dataclass(frozen=True)
class TcpCheck:
    """A connection comes about."""

    endpoint: Endpoint
    timeout_s: float

    @property
    def name(self) -> str:
        return f"tcp {self.endpoint}"

    async def look(self) -> Verdict:
        _, writer = await asyncio.open_connection(self.endpoint.host, self.endpoint.port)
        writer.transport.abort()
        return GOOD


@dataclass(frozen=True)
class HttpCheck:
    """A page answers 200."""

    url: Url
    timeout_s: float

    @property
    def name(self) -> str:
        return f"http {self.url.authority}{self.url.target}"

    async def look(self) -> Verdict:
        page = await fetch(self.url, _PAGE_LIMIT_BYTES)
        return GOOD if page.status == 200 else Verdict(False, f"status {page.status}")


@dataclass(frozen=True)
class GrpcCheck:
    """`grpc.health.v1.Health/Check` says SERVING, or nobody there has heard of it: then the server answers at least.

    A stock Collector's OTLP receiver is of the second kind.
    """

    endpoint: Endpoint
    timeout_s: float
    service: str = ""
    """Empty: the server as a whole."""

    @property
    def name(self) -> str:
        return f"grpc {self.endpoint}" + (f"/{self.service}" if self.service else "")

    async def look(self) -> Verdict:
        from grpc import StatusCode  # heavy, and only for who asks for this check
        from grpc.aio import AioRpcError, UnaryUnaryMultiCallable, insecure_channel

        own = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)]
        async with insecure_channel(str(self.endpoint), options=own) as channel:
            call: UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
            try:
                answer = await call(_request(self.service), timeout=self.timeout_s)
            except AioRpcError as error:
                if error.code() is StatusCode.UNIMPLEMENTED:
                    return GOOD
                return Verdict(False, f"{error.code().name}: {error.details()}")
        status = _status(answer)
        return GOOD if status == _SERVING else Verdict(False, _STATUS.get(status, f"status {status}"))


def _request(service: str) -> bytes:
    """HealthCheckRequest: field 1, text. Two fields do not pay for protobuf in this process."""
    text = service.encode()
    return bytes([0x0A, len(text)]) + text if text else b""


def _status(answer: bytes) -> int:
    """HealthCheckResponse: field 1, an enumeration; 0, UNKNOWN, where it is not there."""
    return answer[1] if answer[:1] == b"\x08" and len(answer) == 2 else 0
