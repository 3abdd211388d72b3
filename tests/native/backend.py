"""A backend that answers by script, and can do everything that a backend should not."""

from __future__ import annotations

import asyncio
import base64
import gzip
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from h2.events import DataReceived, Event, RequestReceived, StreamEnded
from h2.exceptions import H2Error
from h2.settings import SettingCodes

from sidecar.errors import GrpcStatus
from tests.native.peer import framed
from tests.native.session import WINDOW, Session

HEADERS = [(":status", "200"), ("content-type", "application/grpc")]


class Call:
    """One call, while and after it arrives."""

    def __init__(self, session: BackendSession, stream: int, headers: dict[str, str]) -> None:
        self.session = session
        self.stream = stream
        self.headers = headers
        self.data = b""
        self.at_s = 0.0

    @property
    def message(self) -> bytes:
        """What was exported."""
        size = int.from_bytes(self.data[1:5])
        assert size == len(self.data) - 5
        return gzip.decompress(self.data[5:]) if self.data[0] else self.data[5:]

    # ---- ways to answer

    def ok(self, response: bytes = b"") -> None:
        """OK with a response message."""
        self.body(framed(response), GrpcStatus.OK)

    def body(self, data: bytes, status: GrpcStatus) -> None:
        """Any bytes, then a status."""
        self.session.h2.send_headers(self.stream, HEADERS)
        self.session.send_then(self.stream, data, [("grpc-status", str(int(status)))])

    def fail(self, status: int, words: str = "", retry_after_s: float | None = None) -> None:
        """A status alone."""
        headers = [*HEADERS, ("grpc-status", str(int(status)))]
        if words:
            headers.append(("grpc-message", words))
        if retry_after_s is not None:
            headers.append(("grpc-status-details-bin", retry_info(status, words, retry_after_s)))
        self.session.h2.send_headers(self.stream, headers, end_stream=True)
        self.session.flush()

    def http(self, status: int) -> None:
        """What a proxy says in place of a backend."""
        headers = [(":status", str(status)), ("content-type", "text/html")]
        self.session.h2.send_headers(self.stream, headers, end_stream=True)
        self.session.flush()

    def reset(self, code: int) -> None:
        """RST_STREAM."""
        self.session.reset(self.stream, code)


def retry_info(status: int, words: str, after_s: float) -> str:
    """grpc-status-details-bin."""
    info = RetryInfo()
    info.retry_delay.FromNanoseconds(round(after_s * 1e9))
    message = Status(code=int(status), message=words)
    message.details.add().Pack(info)
    return base64.b64encode(message.SerializeToString()).decode().rstrip("=")


Script = Callable[[Call], None]


def accept(call: Call) -> None:
    """OK, always."""
    call.ok()


class BackendSession(Session):
    """One connection to a backend."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(client=False, settings=backend.settings, window=backend.window)
        self.credit = backend.credit
        self.backend = backend
        self.open: dict[int, Call] = {}
        self._trailers: dict[int, list[tuple[str, str]]] = {}
        backend.sessions.append(self)

    def heard(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            assert event.stream_id is not None
            call = Call(self, event.stream_id, dict(event.headers or []))  # type: ignore[arg-type]
            self.open[event.stream_id] = call
            self.backend.on_headers(call)
        elif isinstance(event, DataReceived):
            assert event.stream_id is not None
            call = self.open[event.stream_id]
            call.data += event.data or b""
            self.acknowledge(event.stream_id, event.flow_controlled_length or 0)
            self.backend.on_data(call)
        elif isinstance(event, StreamEnded):
            assert event.stream_id is not None
            call = self.open.pop(event.stream_id)
            call.at_s = asyncio.get_running_loop().time()
            self.backend.calls.append(call)
            self.backend.script(call)

    def send_then(self, stream: int, data: bytes, trailers: list[tuple[str, str]]) -> None:
        """Data, and when all of it has gone, trailers."""
        self._trailers[stream] = trailers
        self.send(stream, data, end=False)

    def push(self) -> None:
        super().push()
        for stream in [stream for stream in self._trailers if stream not in self._unsent]:
            trailers = self._trailers.pop(stream)
            with suppress(H2Error):  # it was reset
                self.h2.send_headers(stream, trailers, end_stream=True)
        self.flush()

    def goaway(self, last_stream: int) -> None:
        """GOAWAY, without an end of what is open."""
        frame = b"\0\0\x08\x07\0\0\0\0\0" + last_stream.to_bytes(4) + (0).to_bytes(4)
        self.raw(frame)


class Backend:
    """A backend on `port`; `async with` starts and ends it."""

    def __init__(self, script: Script = accept, *, window: int = WINDOW, receive_buffer: int = 0) -> None:
        self.script = script
        self.on_headers: Script = lambda call: None
        self.on_data: Script = lambda call: None
        self.calls: list[Call] = []
        self.sessions: list[BackendSession] = []
        self.settings: dict[SettingCodes, int] = {SettingCodes.INITIAL_WINDOW_SIZE: window}
        self.window = window
        self.credit = True
        self.port = 0
        self._receive_buffer = receive_buffer
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens, on the same port as before."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        sock.bind(("127.0.0.1", self.port))
        self.port = sock.getsockname()[1]
        self._server = await asyncio.get_running_loop().create_server(lambda: BackendSession(self), sock=sock)

    async def stop(self) -> None:
        """Gone: nobody listens, connections are cut."""
        assert self._server is not None
        self._server.close()
        for session in self.sessions:
            session.drop()

    @property
    def messages(self) -> list[bytes]:
        """What was exported, call by call."""
        return [call.message for call in self.calls]

    def in_turn(self, *scripts: Script) -> None:
        """One script for each call; the last one for all that follow."""
        rest = list(scripts)

        def script(call: Call) -> None:
            (rest.pop(0) if len(rest) > 1 else rest[0])(call)

        self.script = script
