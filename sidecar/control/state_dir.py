"""Where a gateway keeps what outlives it: the one rule, which who looks for a gateway's socket follows too."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

from sidecar.config.schema import GatewayConfig
from sidecar.errors import PathUnwritable
from sidecar.model import Endpoint

SOCKET_NAME = "spangate.sock"
_HOST_LONGEST = 64
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


def gateway_id(config: GatewayConfig, listens: Endpoint) -> str:
    """The id in the fleet: as configured, else host name and the port that it got, fit for a key and a file name."""
    host = _UNFIT.sub("-", socket.gethostname()).strip("._-")[:_HOST_LONGEST]
    return config.id or f"{host or 'gateway'}-{listens.port}"


def state_dir(config: GatewayConfig, identity: str, environment: Mapping[str, str]) -> Path:
    """The folder of one gateway: as configured, else one of its own under `state_home`."""
    return Path(config.coordination.state_dir or state_home(environment) / identity)


def admin_socket(config: GatewayConfig, identity: str, environment: Mapping[str, str]) -> Path:
    """The Unix socket through which the fleet is changed: as configured, else in the gateway's folder.

    A socket need not outlive the process: where that folder cannot be written it is in one that can, if there is any.
    """
    if config.admin.socket:
        return Path(config.admin.socket)
    folder = state_dir(config, identity, environment)
    if unwritable(folder):
        made = (home / identity for home in refuges(environment) if _is_ours(home, make=True))
        folder = next((one for one in made if not unwritable(one)), folder)
    return folder / SOCKET_NAME


def unwritable(folder: Path) -> str:
    """Why nothing can be kept in this folder, which is made where it is missing; empty where it can."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            return "it is read-only for this user"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return ""


def refuges(environment: Mapping[str, str]) -> list[Path]:
    """Folders for this user's sockets in places that can mostly be written, with a read-only root too."""
    runtime = Path(environment.get("XDG_RUNTIME_DIR", ""))
    shared = [Path("/tmp"), Path("/dev/shm")]  # noqa: S108  see _is_ours
    given = [runtime / "spangate"] if runtime.is_absolute() else []
    return [*given, *(place / f"spangate-{os.geteuid()}" for place in shared)]


def _is_ours(home: Path, *, make: bool = False) -> bool:
    """Whether a folder in a place where anybody may make one is this user's, and closed to others."""
    try:
        if make:
            home.mkdir(mode=0o700, exist_ok=True)
        found = home.lstat()
    except OSError:  # then it is of no use, whatever the reason
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def state_home(environment: Mapping[str, str]) -> Path:
    """The folder of all gateways of a user: `$XDG_STATE_HOME/spangate`, by default `~/.local/state/spangate`.

    XDG Base Directory Specification 0.8: a relative path in the variable is to be ignored.
    """
    given = Path(environment.get("XDG_STATE_HOME", ""))
    if given.is_absolute():
        return given / "spangate"
    home = Path(environment.get("HOME", ""))
    if not home.is_absolute():
        raise PathUnwritable("~/.local/state", "HOME names no folder; set coordination.state_dir or XDG_STATE_HOME")
    return home / ".local" / "state" / "spangate"


def sockets(environment: Mapping[str, str]) -> list[Path]:
    """The admin sockets that gateways have left or have open in the folder of this user, by path."""
    homes = [state_home(environment), *filter(_is_ours, refuges(environment))]
    return sorted(path for home in homes for path in home.glob(f"*/{SOCKET_NAME}"))
