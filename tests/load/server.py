"""A server that answers what it is told to, or says nothing for ever, and an address where there is none."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

from sidecar.model import Endpoint
from tests.harness.patience import free_port


def answer(body: bytes | str = b"", status: str = "200 OK", *headers: str) -> bytes:
    """An HTTP response with its length."""
    content = body.encode() if isinstance(body, str) else body
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers, "", ""]
    return "\r\n".join(head).encode() + content


class Server:
    """Answers every request with `response`, which may be changed; None: never, and the connection stays open.

    In threads of its own, so that it goes on when the loop of the test does not.
    """

    def __init__(self, response: bytes | None, port: int = 0) -> None:
        self.response = response
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.endpoint = Endpoint("127.0.0.1", self._listener.getsockname()[1])
        self.url = f"http://{self.endpoint}/metrics"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nobody listens any more, and who is connected is not."""
        if self._listener.fileno() < 0:
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # whoever asked has gone
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # the end
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        request = b""
        with connection:
            try:
                while piece := connection.recv(65536):
                    request += piece
                    if self.response is not None and b"\r\n\r\n" in request:
                        self.requests.append(request)
                        connection.sendall(self.response)
                        return
            except OSError:
                return  # whoever asked has gone


def nowhere() -> Endpoint:
    """An address where nobody listens."""
    return Endpoint("127.0.0.1", free_port())
