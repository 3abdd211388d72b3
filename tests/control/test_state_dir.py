import socket
from pathlib import Path

import pytest

from sidecar.config.schema import AdminConfig, CoordinationConfig, GatewayConfig
from sidecar.control.state_dir import admin_socket, gateway_id, sockets, state_dir, state_home, unwritable
from sidecar.coord.keys import checked
from sidecar.errors import PathUnwritable
from sidecar.model import Endpoint

LISTENS = Endpoint("127.0.0.1", 4317)


def test_the_id_is_the_configured_one_or_host_and_port(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gateway_id(GatewayConfig(id="gw-1"), LISTENS) == "gw-1"
    monkeypatch.setattr(socket, "gethostname", lambda: "host.example")
    assert gateway_id(GatewayConfig(), LISTENS) == "host.example-4317"


@pytest.mark.parametrize("name", ["höst", "_x", "a b/c", "", "-", "x" * 300])
def test_the_id_fits_a_key_whatever_the_host_is_called(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    identity = gateway_id(GatewayConfig(), LISTENS)
    assert checked(identity) == identity
    assert identity.endswith("4317")


@pytest.mark.parametrize(
    ("environment", "home"),
    [
        ({"XDG_STATE_HOME": "/var/state", "HOME": "/home/ann"}, "/var/state/spangate"),
        ({"XDG_STATE_HOME": "state", "HOME": "/home/ann"}, "/home/ann/.local/state/spangate"),
        ({"HOME": "/home/ann"}, "/home/ann/.local/state/spangate"),
    ],
)
def test_the_folder_of_a_user(environment: dict[str, str], home: str) -> None:
    assert state_home(environment) == Path(home)
    config = GatewayConfig()
    assert state_dir(config, "gw-1", environment) == Path(home) / "gw-1"
    assert admin_socket(config, "gw-1", environment) == Path(home) / "gw-1" / "spangate.sock"


@pytest.mark.parametrize("environment", [{}, {"HOME": ""}, {"HOME": "here"}])
def test_without_a_home_somebody_has_to_say_where(environment: dict[str, str]) -> None:
    with pytest.raises(PathUnwritable, match="HOME names no folder"):
        state_home(environment)


def test_what_is_configured_wins() -> None:
    config = GatewayConfig(coordination=CoordinationConfig(state_dir="/data"))
    assert state_dir(config, "gw-1", {}) == Path("/data")
    assert admin_socket(config, "gw-1", {}) == Path("/data/spangate.sock")
    config = GatewayConfig(admin=AdminConfig(socket="/run/s"), coordination=CoordinationConfig(state_dir="/data"))
    assert admin_socket(config, "gw-1", {}) == Path("/run/s")


def test_sockets_are_found_by_path(tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path)}
    assert sockets(environment) == []
    paths = [tmp_path / "spangate" / name / "spangate.sock" for name in ("b", "a")]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.touch()
    assert sockets(environment) == sorted(paths)


def test_a_socket_goes_where_it_can(tmp_path: Path) -> None:
    """Into a folder of this user that is closed to others; nobody is led to one that is not."""
    config = GatewayConfig(coordination=CoordinationConfig(state_dir="/sys/spangate"))
    environment = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    found = admin_socket(config, "gw-1", environment)
    assert found == tmp_path / "spangate" / "gw-1" / "spangate.sock"
    found.touch()
    assert found in sockets(environment)
    (tmp_path / "spangate").chmod(0o755)
    assert found not in sockets(environment)
    assert not admin_socket(config, "gw-1", environment).is_relative_to(tmp_path)
    assert unwritable(Path("/sys/spangate"))
    assert not unwritable(tmp_path / "new" / "folder")
