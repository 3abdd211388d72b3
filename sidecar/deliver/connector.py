"""Keeping one connection to a backend: resolve, connect, reconnect with backoff. The engine owns the socket.

IDLE --dial--> DIALING --up--> UP --lost, goaway--> IDLE (dial again, at once after GOAWAY)
                  |
                  +--refused--> WAITING --backoff--> DIALING
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
import socket

from sidecar._native.engine import Engine
from sidecar.model import Endpoint
from sidecar.telemetry import log

FIRST_S = 0.1
LONGEST_S = 5.0
UNANSWERED_MS = 10_000
"""TCP gives a connection up when sent bytes are unacknowledged for so long (TCP_USER_TIMEOUT)."""


class Connector:
    """The connection to the backend in `slot`. `refused` is called when a dial comes to nothing."""

    def __init__(self, engine: Engine, slot: int, address: Endpoint, dice: random.Random) -> None:
        self._engine = engine
        self._slot = slot
        self._address = address
        self._dice = dice
        self._fails = 0
        self._dialed_s = -FIRST_S
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._log = log.logger("deliver").bind(backend=str(address))

    def dial(self) -> None:
        """Begin to connect, now."""
        self._timer = None
        if not self._closed and self._task is None:
            loop = asyncio.get_running_loop()
            self._dialed_s = loop.time()
            self._task = loop.create_task(self._dial())
            self._task.add_done_callback(self._dialed)

    def up(self) -> None:
        """The backend has answered: the next failure starts a new count."""
        if self._fails:
            self._log.info("a backend is back", after_tries=self._fails + 1)
        self._fails = 0

    def lost(self, reason: str = "") -> None:
        """The connection is gone; without a reason by GOAWAY: no failure, unless it is the answer to every greeting."""
        if reason and not self._closed:
            self._log.warning("the connection to a backend broke", reason=reason)
        young = asyncio.get_running_loop().time() - self._dialed_s < FIRST_S
        self._again(self._dice.uniform(0, FIRST_S) if reason or young else 0.0)

    def refused(self, reason: str) -> None:
        """The connection did not come about."""
        self._fails += 1
        delay_s = min(LONGEST_S, FIRST_S * 2 ** min(self._fails - 1, 10)) * self._dice.uniform(0.5, 1)
        self._log.warning("a backend cannot be reached", reason=reason, next_try_s=round(delay_s, 2))
        self._again(delay_s)

    def close(self) -> None:
        """Dial no more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _again(self, delay_s: float) -> None:
        if not self._closed and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.dial)

    def _dialed(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = None
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, OSError):
            self.refused(error.strerror or str(error))
        elif error is not None:
            raise error

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_STREAM)
        self._task = None  # nothing below waits, and once the engine has the socket the next dial may be asked for
        family, kind, protocol, _, address = found[self._fails % len(found)]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_MS)
            code = sock.connect_ex(address)
            if code not in {0, errno.EINPROGRESS}:
                raise OSError(code, os.strerror(code))
            self._engine.connect(self._slot, sock.fileno())
            sock.detach()
        finally:
            sock.close()
