"""One HTTP/2 connection on the loop, either side of it: what a peer and a backend of the tests have in common."""

from __future__ import annotations

import asyncio
from typing import cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, Event, PingAckReceived, PingReceived, WindowUpdated
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

WINDOW = 1 << 20


class Session(asyncio.Protocol):
    """`heard` gets every event of a stream. What is sent waits for flow control as long as it has to."""

    def __init__(self, *, client: bool, settings: dict[SettingCodes, int] | None = None, window: int = WINDOW) -> None:
        config = H2Configuration(client_side=client, header_encoding="utf-8", validate_outbound_headers=False)
        self.h2 = H2Connection(config)
        self.h2.local_settings = Settings(client=client, initial_values=settings)
        self.window = window
        self.transport: asyncio.Transport | None = None
        self.closed = asyncio.Event()
        self.eof = False
        self.goaways: list[tuple[int, int]] = []
        """Last stream and code of each GOAWAY that came."""
        self.faults: list[H2Error] = []
        """What the other side did against HTTP/2."""
        self.pings = 0
        """Of the other side."""
        self.pongs = 0
        self.credit = True
        """Whether received bytes are given back as flow-control credit."""
        self._unsent: dict[int, tuple[bytes, bool]] = {}
        self._mute = False

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.h2.initiate_connection()
        if self.window > 65535:
            self.h2.increment_flow_control_window(self.window - 65535)
        self.flush()

    def data_received(self, data: bytes) -> None:
        self.take(data)

    def take(self, data: bytes) -> None:
        """Bytes that have come, for HTTP/2."""
        try:
            events = self.h2.receive_data(data)
        except H2Error as error:
            self.faults.append(error)
            self.flush()
            self.drop()
            return
        for event in events:
            self._on(event)
        self.flush()

    def eof_received(self) -> bool:
        self.eof = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self.lost()

    # ---- for both sides

    def heard(self, event: Event) -> None:
        """An event of the connection or of a stream."""

    def lost(self) -> None:
        """The connection is gone."""

    def _on(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self.goaways.append((event.last_stream_id or 0, int(event.error_code or 0)))
        elif isinstance(event, PingAckReceived):
            self.pongs += 1
        elif isinstance(event, PingReceived):
            self.pings += 1
        elif isinstance(event, WindowUpdated):
            self.push()
        else:
            self.heard(event)

    def acknowledge(self, stream: int, n: int) -> None:
        """Gives credit back for n received bytes."""
        if self.credit and n:
            try:
                self.h2.acknowledge_received_data(n, stream)
            except H2Error:  # the stream is over: only the connection still counts
                return

    def send(self, stream: int, data: bytes, *, end: bool) -> None:
        """Data of a stream, as the windows allow."""
        known, _ = self._unsent.get(stream, (b"", False))
        self._unsent[stream] = (known + data, end)
        self.push()

    def push(self) -> None:
        """Sends of what waits as much as may go."""
        for stream, (data, end) in list(self._unsent.items()):
            rest = memoryview(data)
            try:
                while rest and (room := self._room(stream)):
                    self.h2.send_data(stream, bytes(rest[:room]), end_stream=end and len(rest) <= room)
                    rest = rest[room:]
                if not data and end:
                    self.h2.end_stream(stream)
            except H2Error:  # the stream, or the connection, is over
                rest = rest[:0]
            self._unsent[stream] = (bytes(rest), end)
            if not rest:
                del self._unsent[stream]
        self.flush()

    def _room(self, stream: int) -> int:
        return max(0, min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size))

    def flush(self) -> None:
        """Hands what HTTP/2 has to say to the socket."""
        data = self.h2.data_to_send()
        if data and self.transport is not None and not self.transport.is_closing() and not self._mute:
            self.transport.write(data)

    def half_close(self) -> None:
        """Says nothing more, and goes on listening."""
        self.flush()
        assert self.transport is not None
        self.transport.write_eof()
        self._mute = True

    def raw(self, data: bytes) -> None:
        """Bytes past HTTP/2."""
        self.flush()
        assert self.transport is not None
        self.transport.write(data)

    def reset(self, stream: int, code: int = ErrorCodes.CANCEL) -> None:
        """RST_STREAM."""
        self._unsent.pop(stream, None)
        self.h2.reset_stream(stream, code)
        self.flush()

    def drop(self) -> None:
        """The end without a word."""
        if self.transport is not None:
            self.transport.abort()

    def close(self) -> None:
        """The end."""
        if self.transport is not None:
            self.transport.close()
