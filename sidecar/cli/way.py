"""The way to the admin service of a gateway: its Unix socket here, or TCP with TLS and a token from elsewhere."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import quote

import click
from click.core import ParameterSource

from sidecar.errors import ConfigInvalid, GatewayUnreachable, PathUnwritable, Problem, QuestionInvalid, SpangateError

if TYPE_CHECKING:
    import grpc

    from sidecar.model import Endpoint, Secret

SOCKET_VARIABLE = "SPANGATE_ADMIN_SOCKET"
GRPC_VARIABLE = "SPANGATE_ADMIN_GRPC"
_PROBE_S = 5.0
_OF_TLS = (
    ("CERTIFICATE_VERIFY_FAILED", "its certificate does not do", "--ca-file names who has signed it"),
    ("Hostname Verification", "its certificate is of another name", "--admin-grpc has to use the name in it"),
    ("andshake", "it speaks no TLS", "--admin-grpc is the address of its admin.grpc.listen"),
    ("Socket closed", "it hangs up", "where it asks callers for certificates: --cert-file and --key-file"),
)
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 10_000),  # what a connection may take: the first caller waits for gRPC to load
    ("grpc.max_reconnect_backoff_ms", 2000),  # who registers a collector outlives gateways
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 128 << 20),  # histories and regions of a large fleet
)


class Way(Protocol):
    """How a gateway is reached. Opening the channel connects nobody yet."""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""

    def away(self) -> str:
        """Why nobody answers there; nothing when somebody does. It costs less than gRPC, and says it better."""

    def channel(self) -> grpc.Channel:
        """For who closes it."""

    def unreachable(self, reason: str) -> GatewayUnreachable:
        """The error of who finds nobody, for this reason."""

    def unwelcome(self) -> SpangateError:
        """The error of who is turned away."""


class SocketWay(NamedTuple):
    """Over the socket that only the gateway's own user may open."""

    path: Path

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def away(self) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self.path))
            except OSError as error:
                return (error.strerror or str(error)).lower()
        return ""

    def channel(self) -> grpc.Channel:
        import grpc

        return grpc.insecure_channel(f"unix:{quote(str(self.path.absolute()))}", _OPTIONS)

    def unreachable(self, reason: str) -> GatewayUnreachable:
        return _unreachable(
            str(self.path), reason, "is one running as this user? --admin-socket PATH says where its socket is"
        )

    def unwelcome(self) -> SpangateError:
        return QuestionInvalid(f"the gateway at {self.path} turns this caller away")


class RemoteWay(NamedTuple):
    """Over TCP, to the address of `admin.grpc.listen`."""

    address: Endpoint
    token: Secret
    ca: bytes | None
    """PEM; None stands for those that gRPC brings."""
    identity: tuple[bytes, bytes] | None
    """Key and certificate of the caller, where the gateway asks for them."""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token.reveal()}"),)

    def away(self) -> str:
        try:
            with socket.create_connection((self.address.host, self.address.port), _PROBE_S):
                return ""
        except TimeoutError:
            return f"no answer in {_PROBE_S:g} s"
        except OSError as error:
            return (error.strerror or str(error)).lower()

    def channel(self) -> grpc.Channel:
        import grpc

        key, certificate = self.identity or (None, None)
        credentials = grpc.ssl_channel_credentials(self.ca, key, certificate)
        return grpc.secure_channel(str(self.address), credentials, _OPTIONS)

    def unreachable(self, reason: str) -> GatewayUnreachable:
        """What gRPC says of TLS that fails is long, and tells nobody what to do."""
        for sign, told, hint in _OF_TLS:
            if sign in reason:
                why = re.search(r"CERTIFICATE_VERIFY_FAILED: ([^:;]+)", reason)
                return _unreachable(str(self.address), f"{told}: {why[1].strip()}" if why else told, hint)
        return _unreachable(str(self.address), reason, "--admin-grpc is the address of its admin.grpc.listen")

    def unwelcome(self) -> SpangateError:
        return QuestionInvalid(
            f"the gateway at {self.address} does not know this token",
            "--token-file names a file with its admin.grpc.token",
        )


class Given(NamedTuple):
    """The options as they were given."""

    admin_socket: Path | None
    admin_grpc: Endpoint | None
    token_file: Path | None
    ca_file: Path | None
    cert_file: Path | None
    key_file: Path | None

    def way(self) -> Way:
        """ConfigInvalid for a file that cannot be read; GatewayUnreachable, QuestionInvalid as `found`."""
        if self.admin_grpc is None:
            return SocketWay(self.admin_socket or found())
        if self.token_file is None:
            raise click.UsageError("--admin-grpc needs --token-file")
        if (self.cert_file is None) != (self.key_file is None):
            raise click.UsageError("--cert-file and --key-file go together")
        return RemoteWay(
            self.admin_grpc,
            _token(self.token_file),
            _read(self.ca_file, "--ca-file") if self.ca_file else None,
            (_read(self.key_file, "--key-file"), _read(self.cert_file, "--cert-file"))
            if self.key_file and self.cert_file
            else None,
        )


def way_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options; the command is called with `given`."""

    @wraps(command)
    def called(**values: Any) -> Any:
        ways = {name: values.pop(name) for name in Given._fields}
        return command(**values, given=Given(**_preferred(ways)))

    for option in reversed(_CHOICES):
        called = option(called)
    return called


def found() -> Path:
    """The socket of the one gateway that this user runs. GatewayUnreachable; QuestionInvalid when there are several."""
    from sidecar.control.state_dir import SOCKET_NAME, sockets, state_home

    try:
        listening = [path for path in sockets(os.environ) if not SocketWay(path).away()]
        home = state_home(os.environ)
    except PathUnwritable as error:
        raise GatewayUnreachable("~/.local/state", error.message) from None
    if len(listening) > 1:
        raise QuestionInvalid(
            f"{len(listening)} gateways run here, and any would do",
            f"name one with --admin-socket or {SOCKET_VARIABLE}: {', '.join(map(str, listening))}",
        )
    if not listening:
        raise SocketWay(home / "*" / SOCKET_NAME).unreachable("nobody listens")
    return listening[0]


def _preferred(ways: dict[str, Any]) -> dict[str, Any]:
    """Of socket and TCP, the one that was typed is before the one of the environment."""
    typed = [name for name in ways if _source(name) is ParameterSource.COMMANDLINE]
    if "admin_socket" in typed and len(typed) > 1:
        other = f"--{next(name for name in typed if name != 'admin_socket').replace('_', '-')}"
        raise click.UsageError(f"{other} is of the way over TCP, --admin-socket is another one")
    if "admin_socket" in typed:
        return {**dict.fromkeys(ways), "admin_socket": ways["admin_socket"]}
    if ways["admin_grpc"] is None and typed:
        raise click.UsageError(f"--{typed[0].replace('_', '-')} needs --admin-grpc")
    return ways


def _source(name: str) -> ParameterSource | None:
    return click.get_current_context().get_parameter_source(name)


def _endpoint(_context: click.Context, _option: click.Parameter, text: str | None) -> Endpoint | None:
    from sidecar.model import Endpoint

    try:
        return Endpoint.parse(text) if text else None
    except ValueError as error:
        raise click.BadParameter(f"{text!r} {error}") from None


def _token(file: Path) -> Secret:
    from sidecar.model import Secret

    token = _read(file, "--token-file").decode(errors="replace").strip()
    if not (token.isascii() and token.isprintable() and token):
        raise ConfigInvalid([Problem("--token-file", f"{file} holds no token", "one line of ASCII")])
    return Secret(token)


def _read(file: Path, option: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigInvalid([Problem(option, f"{file} cannot be read: {error.strerror}")]) from None


def _unreachable(where: str, reason: str, hint: str) -> GatewayUnreachable:
    error = GatewayUnreachable(where, reason)
    error.hint = hint
    return error


def _file(name: str, text: str, variable: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        name,
        type=click.Path(path_type=Path),
        envvar=variable,
        metavar="FILE",
        help=f"{text} [{variable}]",
    )


_CHOICES = (
    click.option(
        "--admin-socket",
        type=click.Path(path_type=Path),
        envvar=SOCKET_VARIABLE,
        metavar="PATH",
        help=f"The admin socket of a gateway. [default: that of the one gateway that runs here; {SOCKET_VARIABLE}]",
    ),
    click.option(
        "--admin-grpc",
        envvar=GRPC_VARIABLE,
        callback=_endpoint,
        metavar="HOST:PORT",
        help=f"From another machine: where a gateway has its admin.grpc.listen. [{GRPC_VARIABLE}]",
    ),
    _file("--token-file", "With --admin-grpc: holds the token of the gateway.", "SPANGATE_ADMIN_TOKEN_FILE"),
    _file("--ca-file", "With --admin-grpc: who has signed its certificate.", "SPANGATE_ADMIN_CA_FILE"),
    _file("--cert-file", "With --admin-grpc: a certificate to show, if asked.", "SPANGATE_ADMIN_CERT_FILE"),
    _file("--key-file", "With --admin-grpc: the key of that certificate.", "SPANGATE_ADMIN_KEY_FILE"),
)
