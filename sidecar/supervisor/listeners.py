"""The listening sockets: bound by the supervisor, one per worker and address, inherited by each restart of a worker.

The kernel spreads new connections over the sockets of an address (SO_REUSEPORT). Since that option would also let two
gateways share a port without a word, an address is first tried without it.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import cast

import psutil

from sidecar.errors import PortTaken
from sidecar.model import Endpoint

BACKLOG = 1024


class Listeners:
    """The sockets of all workers. `bound` has the addresses in force: a port of 0 has become a real one."""

    def __init__(self, addresses: Sequence[Endpoint], workers: int) -> None:
        """Binds. PortTaken when an address is not to be had."""
        self.bound: list[Endpoint] = []
        self._sockets: list[list[socket.socket]] = [[] for _ in range(workers)]
        try:
            for address in addresses:
                self._bind(address)
        except BaseException:
            self.close()
            raise

    def of(self, worker: int) -> list[int]:
        """The descriptors of one worker; they stay open here."""
        return [sock.fileno() for sock in self._sockets[worker]]

    def close(self) -> None:
        """Closes our side. Connections that no worker has accepted are reset once the workers have closed theirs."""
        for sockets in self._sockets:
            for sock in sockets:
                sock.close()

    def _bind(self, address: Endpoint) -> None:
        try:
            family, _, _, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
            port = _free(family, where)
            where = (where[0], port, *where[2:])
            for sockets in self._sockets:
                sock = socket.socket(family, socket.SOCK_STREAM)
                sockets.append(sock)
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                sock.bind(where)
                sock.listen(BACKLOG)
        except OSError as error:
            raise PortTaken.because(str(address), error) from None
        self.bound.append(Endpoint(address.host, port))


def _free(family: int, where: tuple[object, ...]) -> int:
    """The port, if nobody listens there but workers of ours that have lost their supervisor. OSError otherwise."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
            port = cast("int", probe.getsockname()[1])
        except OSError as error:
            port = cast("int", where[1])
            if error.errno != errno.EADDRINUSE or not _only_orphans(port):
                raise
        return port


def _only_orphans(port: int) -> bool:
    """Whether all who listen on the port are workers whose supervisor is dead: they serve on for a grace time."""
    holders = [
        connection.pid
        for connection in psutil.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
    ]
    return bool(holders) and all(pid is not None and _orphan(pid) for pid in holders)


def _orphan(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        command = process.cmdline()
        return "sidecar.worker" in command and command[-1] != str(process.ppid())
    except psutil.Error:
        return False
