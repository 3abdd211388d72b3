"""A client of the gateway that says what it is told to say, and keeps what it hears."""

from __future__ import annotations

import asyncio
import base64
import gzip as zip_
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote

from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from h2.settings import SettingCodes
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from sidecar.errors import GrpcStatus
from sidecar.model import Signal
from tests.harness.otlp import METHODS
from tests.native.session import Session

Headers = Sequence[tuple[str, str]]
PREFIX = 5
HEADER = 9
PING, GOAWAY, ACK = 6, 7, 1
WAIT_S = 10.0


def framed(message: bytes, *, gzip: bool = False, flag: int | None = None) -> bytes:
    """A gRPC message."""
    body = zip_.compress(message, 1) if gzip else message
    return struct.pack(">BI", int(gzip) if flag is None else flag, len(body)) + body


@dataclass
class Answer:
    """What has come on a stream so far."""

    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    reset: int | None = None
    lost: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def said(self) -> dict[str, str]:
        return self.headers | self.trailers

    @property
    def status(self) -> GrpcStatus:
        return GrpcStatus(int(self.said["grpc-status"]))

    @property
    def words(self) -> str:
        return unquote(self.said.get("grpc-message", ""))

    @property
    def message(self) -> bytes:
        """The one message in the body."""
        flag, size = struct.unpack(">BI", self.data[:PREFIX])
        assert (flag, size) == (0, len(self.data) - PREFIX)
        return self.data[PREFIX:]

    @property
    def partial(self) -> ExportTracePartialSuccess:
        return ExportTraceServiceResponse.FromString(self.message).partial_success

    @property
    def retry_after_s(self) -> float | None:
        """RetryInfo, as google.rpc reads it."""
        coded = self.said.get("grpc-status-details-bin")
        if coded is None:
            return None
        assert not coded.endswith("="), "gRPC wants no padding"
        status = Status.FromString(base64.b64decode(coded + "=" * (-len(coded) % 4)))
        assert (status.code, status.message) == (self.status, self.words)
        [detail] = status.details
        info = RetryInfo()
        assert detail.Unpack(info)
        bare = self.said["google.rpc.retryinfo-bin"]  # the same once more, where the SDK of Python looks
        assert RetryInfo.FromString(base64.b64decode(bare + "=" * (-len(bare) % 4))) == info
        delay_s: float = info.retry_delay.ToNanoseconds() / 1e9
        return delay_s

    async def done(self, limit_s: float = WAIT_S) -> Self:
        """This answer, once the stream is over."""
        await asyncio.wait_for(self.over.wait(), limit_s)
        return self


class Peer(Session):
    """One connection of a client."""

    def __init__(self) -> None:
        super().__init__(client=True, settings={SettingCodes.ENABLE_PUSH: 0})
        self.answers: dict[int, Answer] = {}
        self.answers_pings = True
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Frame by frame: h2 would take a GOAWAY for the end, and answer every PING."""
        self._rest += data
        while len(self._rest) >= HEADER and len(self._rest) >= (n := HEADER + int.from_bytes(self._rest[:3])):
            frame, self._rest = self._rest[:n], self._rest[n:]
            kind, flags = frame[3], frame[4]
            if kind == GOAWAY:
                self.goaways.append((int.from_bytes(frame[9:13]), int.from_bytes(frame[13:17])))
                continue
            if kind == PING and not flags & ACK and not self.answers_pings:
                self.pings += 1
                continue
            self.take(frame)

    def heard(self, event: Event) -> None:
        stream = getattr(event, "stream_id", None)
        answer = self.answers.get(stream or 0)
        if answer is None or stream is None:
            return
        if isinstance(event, ResponseReceived):
            answer.headers = dict(event.headers or [])  # type: ignore[arg-type]
        elif isinstance(event, DataReceived):
            answer.data += event.data or b""
            self.acknowledge(stream, event.flow_controlled_length or 0)
        elif isinstance(event, TrailersReceived):
            answer.trailers = dict(event.headers or [])  # type: ignore[arg-type]
        elif isinstance(event, StreamReset):
            answer.reset = int(event.error_code or 0)
            answer.over.set()
        elif isinstance(event, StreamEnded):
            answer.over.set()

    def lost(self) -> None:
        for answer in self.answers.values():
            answer.lost = not answer.over.is_set()
            answer.over.set()

    # ---- calls

    def begin(self, path: str, extra: Headers = (), *, end: bool = False, kind: str = "application/grpc") -> int:
        """HEADERS of a call; its stream."""
        stream = self.h2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "gateway"),
            ("te", "trailers"),
            ("content-type", kind),
            *extra,
        ]
        self.answers[stream] = Answer()
        self.h2.send_headers(stream, headers, end_stream=end)
        self.flush()
        return stream

    def call(self, path: str, body: bytes, extra: Headers = (), *, kind: str = "application/grpc") -> Answer:
        """A whole call, with a body as it is."""
        stream = self.begin(path, extra, kind=kind)
        self.send(stream, body, end=True)
        return self.answers[stream]

    def export(
        self, message: bytes, signal: Signal = Signal.TRACES, *, gzip: bool = False, extra: Headers = ()
    ) -> Answer:
        """An Export request."""
        encoding = [("grpc-encoding", "gzip")] if gzip else []
        return self.call(METHODS[signal], framed(message, gzip=gzip), [*encoding, *extra])

    async def exported(self, message: bytes, signal: Signal = Signal.TRACES, *, gzip: bool = False) -> Answer:
        """An Export request, and its answer."""
        return await self.export(message, signal, gzip=gzip).done()


async def connected(port: int, *, receive_buffer: int = 0) -> Peer:
    """A connection to the gateway."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        await loop.sock_connect(sock, ("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    _, peer = await loop.create_connection(Peer, sock=sock)
    return peer
