"""The gRPC server behind the door of the admin service. Importing it costs some 15 MB."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import grpc
import grpc.aio

from sidecar.admin.calls import handler_of
from sidecar.admin.fleet import SERVICE, FleetService
from sidecar.admin.remote import Remote
from sidecar.control.desk import Desk
from sidecar.coord.store import VALUE_LIMIT_BYTES
from sidecar.errors import ConfigInvalid, PathUnwritable, PortTaken, Problem
from sidecar.telemetry import log

STOP_S = 1.0
"""What open calls get to finish."""
_OPTIONS = (
    ("grpc.max_receive_message_length", 2 * VALUE_LIMIT_BYTES),
    ("grpc.so_reuseport", 0),  # a port that is taken is an error
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),  # those who watch may ask whether we are there
)


class GrpcServer:
    """Serves the fleet's service on a Unix socket and, where it is told to, on TCP with TLS."""

    def __init__(self, desk: Desk, path: Path, remote: Remote | None) -> None:
        self._desk, self._path, self._remote = desk, path, remote
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listen. PathUnwritable, PortTaken, ConfigInvalid."""
        remote = self._remote
        server = grpc.aio.server(options=_OPTIONS)
        token = remote.token if remote else None
        server.add_generic_rpc_handlers((handler_of(SERVICE, FleetService(self._desk).methods(), token),))
        self._path.unlink(missing_ok=True)
        mask = os.umask(0o177)  # as the public socket: for this user alone
        try:
            server.add_insecure_port(f"unix:{quote(str(self._path.absolute()))}")
        except RuntimeError as error:
            raise PathUnwritable(str(self._path), str(error)) from error
        finally:
            os.umask(mask)
        if remote is not None:
            try:
                port = server.add_secure_port(str(remote.listen), _credentials(remote))
            except RuntimeError as error:
                raise PortTaken(str(remote.listen), setting="admin.grpc") from error
            log.logger("admin").info("the fleet is changed through", address=f"{remote.listen.host}:{port}")
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Close, giving open calls a second."""
        if self._server is not None:
            await self._server.stop(STOP_S)


def _credentials(remote: Remote) -> grpc.ServerCredentials:
    clients = _read(remote.client_ca_file, "client_ca_file") if remote.client_ca_file else None
    pair = (_read(remote.key_file, "key_file"), _read(remote.cert_file, "cert_file"))
    return grpc.ssl_server_credentials([pair], clients, require_client_auth=clients is not None)


def _read(file: Path, setting: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        problem = Problem(f"admin.grpc.{setting}", f"{file} cannot be read: {error.strerror}")
        raise ConfigInvalid([problem]) from error
