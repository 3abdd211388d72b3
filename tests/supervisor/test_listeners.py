from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from sidecar.errors import Exit, PortTaken
from sidecar.model import Endpoint
from sidecar.supervisor import listeners
from sidecar.supervisor.listeners import Listeners
from tests.harness.patience import listens

ANY = Endpoint("127.0.0.1", 0)
OPEN = Path("/proc/self/fd")


@pytest.fixture
def taken() -> Iterator[Endpoint]:
    """Where somebody else listens, with SO_REUSEPORT as it happens: that alone would let us in."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield Endpoint("127.0.0.1", sock.getsockname()[1])


def name_of(fd: int) -> tuple[str, int]:
    with socket.socket(fileno=os.dup(fd)) as sock:
        where: tuple[str, int] = sock.getsockname()
        return where


def test_each_worker_has_a_socket_for_each_address() -> None:
    with closing(Listeners([ANY, ANY], 3)) as made:
        sets = [made.of(worker) for worker in range(3)]
        assert [len(fds) for fds in sets] == [2, 2, 2]
        assert len({fd for fds in sets for fd in fds}) == 6
        assert [[Endpoint(*name_of(fd)) for fd in fds] for fds in sets] == [made.bound] * 3
        assert all(endpoint.port for endpoint in made.bound), "a port of 0 has become a real one"
        assert not any(os.get_blocking(fd) for fds in sets for fd in fds)


def test_connections_come_before_a_worker_accepts() -> None:
    with closing(Listeners([ANY], 2)) as made:
        port = made.bound[0].port
        assert listens(port)
    assert not listens(port)


def test_a_port_that_is_taken(taken: Endpoint) -> None:
    with pytest.raises(PortTaken, match=f"cannot listen on {taken}: address already in use") as told:
        Listeners([taken], 2)
    assert told.value.exit_code is Exit.PORT_TAKEN


def test_what_was_bound_before_it_failed_is_closed(taken: Endpoint) -> None:
    before = len(list(OPEN.iterdir()))
    with pytest.raises(PortTaken):
        Listeners([ANY, ANY, taken], 3)
    assert len(list(OPEN.iterdir())) == before


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(PortTaken, match=r"cannot listen on 192\.0\.2\.1:4317: cannot assign requested address"):
        Listeners([Endpoint("192.0.2.1", 4317)], 1)


def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(PortTaken, match=r"cannot listen on there\.invalid:4317: name or service not known"):
        Listeners([Endpoint("there.invalid", 4317)], 1)


def test_a_port_that_is_not_ours_to_bind(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(listeners, "_free", denied)
    with pytest.raises(PortTaken, match=r"127\.0\.0\.1:80: permission denied"):
        Listeners([Endpoint("127.0.0.1", 80)], 1)


def test_both_families() -> None:
    if not socket.has_ipv6 or not _has_v6():
        pytest.skip("no IPv6 here")
    with closing(Listeners([Endpoint("::1", 0)], 2)) as made:
        assert str(made.bound[0]).startswith("[::1]:")


def _has_v6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        return probe.connect_ex(("::1", 9)) != errno.EADDRNOTAVAIL


# ---- workers that have lost their supervisor


class Holder(NamedTuple):
    """Somebody who listens, as psutil tells it."""

    pid: int | None
    laddr: Endpoint | None
    status: str = psutil.CONN_LISTEN


@contextmanager
def held_by(monkeypatch: pytest.MonkeyPatch, *commands: list[str] | None) -> Iterator[Endpoint]:
    """A port on which processes with these command lines listen; None is one that we may not look at."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        where = Endpoint("127.0.0.1", sock.getsockname()[1])

        class Process:
            def __init__(self, pid: int) -> None:
                self._command = commands[pid]

            def cmdline(self) -> list[str]:
                if self._command is None:
                    raise psutil.AccessDenied
                return self._command

            def ppid(self) -> int:
                return 1

        def net_connections(kind: str) -> list[object]:
            holders = [Holder(pid, where) for pid in range(len(commands))]
            return [*holders, Holder(None, Endpoint(where.host, where.port + 1)), Holder(None, None)]

        monkeypatch.setattr(psutil, "Process", Process)
        monkeypatch.setattr(psutil, "net_connections", net_connections)
        yield where


WORKER = ["python", "-m", "sidecar.worker", "7"]


def test_orphans_do_not_stand_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their command line names a parent that is no longer theirs."""
    with held_by(monkeypatch, [*WORKER, "4711"], [*WORKER, "4711"]) as where, closing(Listeners([where], 2)) as made:
        assert made.bound == [where]


@pytest.mark.parametrize(
    "other",
    [[*WORKER, "1"], ["nginx", "-g", "daemon off"], ["python", "-m", "sidecar.worker.other", "4711"], [], None],
    ids=["a worker that has its supervisor", "another program", "something like it", "a zombie", "not ours"],
)
def test_everybody_else_does(monkeypatch: pytest.MonkeyPatch, other: list[str] | None) -> None:
    with held_by(monkeypatch, [*WORKER, "4711"], other) as where, pytest.raises(PortTaken):
        Listeners([where], 1)
