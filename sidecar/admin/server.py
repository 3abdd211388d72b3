"""The admin's listener."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from sidecar.admin.pages import Fleet, application
from sidecar.errors import PortTaken
from sidecar.model import Endpoint
from sidecar.ports import Gateway
from sidecar.telemetry import log

STOP_S = 1
"""What open requests get to finish."""
KEEP_ALIVE_S = 300
"""How long an idle connection stays: longer than any scraper's interval, so that each scrape finds its connection."""


class AdminServer:
    """Serves the admin pages of one gateway at one address, in the running event loop."""

    def __init__(self, gateway: Gateway, fleet: Fleet, listen: Endpoint) -> None:
        self._listen = listen
        self._server = _Server(_config(gateway, fleet))
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> Endpoint:
        """Listen, and say where: with port 0 it is a free one. PortTaken when the address cannot be bound."""
        try:
            sockets = await _bound(self._listen)
        except OSError as error:
            raise PortTaken.because(str(self._listen), error, setting="admin.listen") from None
        self._serving = asyncio.create_task(self._server.serve(sockets))
        bound = Endpoint(self._listen.host, sockets[0].getsockname()[1])
        log.logger("admin").info("admin listens", address=str(bound))
        return bound

    async def stop(self) -> None:
        """Close, giving open requests a second. It may be called without a start."""
        if self._serving is not None:
            self._server.end()
            await self._serving


class _Server(uvicorn.Server):
    """uvicorn in a process that is not its own: it waits for its end instead of looking for it ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._asked_to_end = asyncio.Event()

    def end(self) -> None:
        """Stop serving."""
        self.should_exit = True
        self._asked_to_end.set()

    async def main_loop(self) -> None:
        """Until `end`."""
        await self.on_tick(0)
        await self._asked_to_end.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signals to the supervisor, which drains on them."""
        yield


def _config(gateway: Gateway, fleet: Fleet) -> uvicorn.Config:
    """HTTP/1.1 and nothing else. What is named here is not loaded, not guessed from the environment, not logged."""
    return uvicorn.Config(
        application(gateway, fleet),
        interface="asgi3",
        http="h11",
        ws="none",
        loop="none",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        date_header=False,  # it would be set ten times a second; the pages set their own
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
        access_log=False,
        log_config=None,  # leaves the root handler, which is ours
        log_level="error",  # below are the mistakes of clients, and advice to install WebSocket libraries
    )


async def _bound(listen: Endpoint) -> list[socket.socket]:
    """Listening sockets, one for each address of the host. OSError when one of them cannot be bound."""
    found = await asyncio.get_running_loop().getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            sockets.append(socket.create_server(address, family=family))
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets
