"""The door of the admin service: a Unix socket that costs nothing until somebody knocks.

    BOUND --first byte of a caller--> SERVING: grpc is loaded, and serves on a private socket beside the public one;
      |                                  |     every connection is spliced through, bytes as they come
      +-------------- stop --------------+--> both files are gone

gRPC with its messages is a third of what an idle gateway has in memory, and most gateways are changed through another
one, or never. Where it listens on TCP as well, it is there from the start.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.admin.remote import Remote
from sidecar.control.desk import Desk
from sidecar.errors import PathUnwritable, PortTaken, SpangateError
from sidecar.telemetry import log

if TYPE_CHECKING:
    from sidecar.admin.grpc_server import GrpcServer

PATH_MOST_BYTES = 106
"""Of the public path: the kernel takes 107, and the private one has a dot more."""
_CHUNK_BYTES = 64 << 10


class AdminService:
    """Serves `spangate.v1.Fleet` on a socket that only this user may open, in the running event loop."""

    def __init__(self, desk: Desk, path: Path, *, remote: Remote | None = None) -> None:
        self._desk, self._path, self._remote = desk, path, remote
        self._private = path.with_name(f".{path.name}")
        self._door: asyncio.Server | None = None
        self._file: tuple[int, int] | None = None
        self._grpc: GrpcServer | None = None
        self._starting = asyncio.Lock()
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._log = log.logger("admin")

    @property
    def serving(self) -> bool:
        """Whether gRPC has been loaded."""
        return self._grpc is not None

    async def start(self) -> None:
        """Listen. PortTaken when another gateway does so already, PathUnwritable; ConfigInvalid for files of TLS."""
        sock = _bound(self._path)
        self._file = _identity(self._path)
        self._door = await asyncio.start_unix_server(self._connected, sock=sock)
        if self._remote is not None:
            try:
                await self._serve()
            except SpangateError:
                await self.stop()
                raise
        self._log.info("the fleet is changed through", socket=str(self._path))

    async def stop(self) -> None:
        """Close, giving open calls a second. It may be called without a start."""
        if self._door is None:
            return
        self._door.close()
        if self._grpc is not None:
            await self._grpc.stop()
        connections = {**self._connections}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        for writer in connections.values():
            writer.close()  # one whose task had not begun has not
            with suppress(OSError):
                await writer.wait_closed()
        self._private.unlink(missing_ok=True)
        if self._file is not None and _identity(self._path) == self._file:  # not that of a successor
            self._path.unlink()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._door is None or not self._door.is_serving():  # accepted just before the end
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._splice(reader, writer))
        self._connections[task] = writer
        task.add_done_callback(self._connections.pop)

    async def _splice(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries one connection until both sides have ended it."""
        try:
            first = await reader.read(_CHUNK_BYTES)
            if not first:
                return  # somebody only looked whether we are there
            await self._serve()
            inner_reader, inner_writer = await asyncio.open_unix_connection(self._private)
            try:
                inner_writer.write(first)
                await asyncio.gather(_carry(reader, inner_writer), _carry(inner_reader, writer))
            finally:
                inner_writer.close()
        except Exception as error:  # noqa: BLE001  one connection is lost, the door stays open
            self._log.error("a connection to the admin service failed", reason=repr(error))
        finally:
            writer.close()

    async def _serve(self) -> None:
        async with self._starting:
            if self._grpc is None:
                os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")  # it warns of workers, which come by exec
                from sidecar.admin.grpc_server import GrpcServer

                server = GrpcServer(self._desk, self._private, self._remote)
                await server.start()
                self._grpc = server


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All bytes of one direction, and their end. A side that has gone ends both directions."""
    with suppress(ConnectionError):
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
        return
    writer.transport.abort()


def _bound(path: Path) -> socket.socket:
    """A listening socket at the path, for this user alone. A file that a dead gateway left behind is replaced."""
    if len(os.fsencode(path)) > PATH_MOST_BYTES:
        raise PathUnwritable(str(path), f"the path of a socket has {PATH_MOST_BYTES} bytes at most; set admin.socket")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.fchmod(sock.fileno(), 0o600)  # before bind: then the file never has another mode (Linux)
        try:
            sock.bind(str(path))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            _clear(path)
            sock.bind(str(path))
        sock.listen()
    except OSError as error:
        sock.close()
        raise PathUnwritable(str(error.filename or path), (error.strerror or str(error)).lower()) from error
    except PortTaken:
        sock.close()
        raise
    return sock


def _clear(path: Path) -> None:
    """Removes a socket on which nobody listens. PortTaken when somebody does, OSError when it is no socket."""
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise FileExistsError(errno.EEXIST, "there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    taken = PortTaken(str(path), "another gateway listens there", setting="admin.socket")
    taken.hint = "it runs with the same id, state folder or admin.socket (SPANGATE_ADMIN_SOCKET): give each its own"
    raise taken


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
