import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from sidecar.control.records import CollectorRecord
from sidecar.coord.store import KeyValue, Lease
from sidecar.errors import Exit
from sidecar.model import Endpoint, Health
from tests.admin.served import Served, served
from tests.cli.command_line import spangate
from tests.control.fleet_store import KEYS, collector
from tests.harness.patience import until

Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "admin.sock") as gateway:
        yield gateway


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """All that is needed to be a healthy collector."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def endpoint(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def registering(path: Path, where: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    options = ["--endpoint", where, "--region", "eu", "--admin-socket", str(path), *more]
    command = [sys.executable, "-m", "sidecar.cli", "register", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def entry(gateway: Served, identity: str) -> KeyValue | None:
    return gateway.do(gateway.store.get(f"{KEYS.collectors('eu')}{identity}"))


def record(gateway: Served, identity: str) -> CollectorRecord | None:
    found = entry(gateway, identity)
    return msgspec.json.decode(found.value, type=CollectorRecord) if found else None


def health(gateway: Served, identity: str) -> Health | None:
    found = record(gateway, identity)
    return found.service.health if found else None


@pytest.mark.process
def test_it_is_registered_for_as_long_as_this_runs(gateway: Served, listener: socket.socket) -> None:
    where = endpoint(listener)
    with registering(gateway.path, where, "--weight", "2", "--capacity-qps", "500") as process:
        until(lambda: health(gateway, where) is Health.HEALTHY, "it is healthy")
        found = record(gateway, where)
        assert found
        assert (found.service.address, found.weight, found.load.capacity_qps) == (Endpoint.parse(where), 2.0, 500.0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == Exit.OK
        assert entry(gateway, where) is None
        assert process.stderr
        assert "registered no longer" in process.stderr.read()


@pytest.mark.process
def test_a_collector_that_goes_away_is_told_as_unhealthy(gateway: Served, listener: socket.socket) -> None:
    where = endpoint(listener)
    with registering(gateway.path, where, "--id", "c-1"):
        until(lambda: health(gateway, "c-1") is Health.HEALTHY, "it is healthy")
        listener.close()
        until(lambda: health(gateway, "c-1") is Health.UNHEALTHY, "it is not healthy any more")


@pytest.mark.process
def test_a_lease_that_is_lost_is_replaced(gateway: Served, listener: socket.socket) -> None:
    with registering(gateway.path, endpoint(listener), "--id", "c-1", "--ttl", "3"):
        until(lambda: entry(gateway, "c-1"), "it is registered")
        first = entry(gateway, "c-1")
        assert first
        gateway.do(gateway.store.revoke(Lease(first.lease, 3)))
        until(lambda: entry(gateway, "c-1"), "it is registered again")


@pytest.mark.process
def test_who_dies_is_forgotten(gateway: Served, listener: socket.socket) -> None:
    with registering(gateway.path, endpoint(listener), "--id", "c-1", "--ttl", "1") as process:
        until(lambda: entry(gateway, "c-1"), "it is registered")
        process.kill()
        until(lambda: entry(gateway, "c-1") is None, "it is forgotten")


@pytest.mark.process
def test_it_outlives_the_gateway(tmp_path: Path, listener: socket.socket) -> None:
    path = tmp_path / "admin.sock"
    with served(path) as first:
        registration = registering(path, endpoint(listener), "--id", "c-1", "--ttl", "3")
        process = registration.__enter__()
        until(lambda: entry(first, "c-1"), "it is registered")
    try:
        with served(path) as second:
            until(lambda: entry(second, "c-1"), "it is registered at the next one")
    finally:
        registration.__exit__(None, None, None)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.process
def test_a_younger_registration_ends_the_older(gateway: Served, listener: socket.socket) -> None:
    with registering(gateway.path, endpoint(listener), "--id", "c-1", "--ttl", "1") as process:
        until(lambda: entry(gateway, "c-1"), "it is registered")
        gateway.do(gateway.desk.regions.register(collector("c-1"), 60))
        assert process.wait(20) == Exit.REFUSED
        assert process.stderr
        assert "error: c-1 was registered by somebody else since" in process.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--endpoint", "c:4317"], "error: missing option '--region'"),
        (["--endpoint", "c", "--region", "eu"], "error: invalid value for --endpoint: 'c' has no port"),
        (["--endpoint", "c:1", "--region", "eu", "--ttl", "0"], "error: invalid value for '--ttl'"),
    ],
)
def test_a_mistake(capsys: Capsys, arguments: list[str], error: str) -> None:
    ended = spangate(capsys, "register", *arguments)
    assert ended.code == Exit.USAGE
    assert ended.err.startswith(error)


def test_no_gateway(capsys: Capsys, tmp_path: Path) -> None:
    ended = spangate(
        capsys, "register", "--endpoint", "c:1", "--region", "eu", "--admin-socket", str(tmp_path / "none")
    )
    assert ended.code == Exit.UNREACHABLE
