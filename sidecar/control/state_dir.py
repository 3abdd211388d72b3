"""Where a gateway keeps what outlives it: the one rule, which who looks for a gateway's socket follows too."""

from __future__ import annotations

import re
import socket
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
    """The Unix socket through which the fleet is changed."""
    return Path(config.admin.socket or state_dir(config, identity, environment) / SOCKET_NAME)


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
    return sorted(state_home(environment).glob(f"*/{SOCKET_NAME}"))
