"""What keeps a gateway from starting is said in a line, with a hint, and in the exit code."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator

import pytest

from sidecar.errors import Exit
from tests.harness.gateway import SPANGATE
from tests.harness.patience import free_port

pytestmark = pytest.mark.process


def start(listen: int, admin: int, *flags: str, descriptors: int | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a gateway that is not to get far."""
    command = [str(SPANGATE), "run", "--backend", f"127.0.0.1:{free_port()}"]
    command += ["--listen", f"127.0.0.1:{listen}", "--admin", f"127.0.0.1:{admin}", *flags]
    if descriptors is not None:
        command = ["sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh", *command]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens who would share it."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


def test_a_port_that_is_taken(taken: int) -> None:
    ended = start(taken, free_port())
    assert ended.returncode == Exit.PORT_TAKEN
    said, hint = ended.stderr.splitlines()
    assert said == f"error: cannot listen on 127.0.0.1:{taken}: address already in use"
    assert hint.startswith("hint: stop what holds it")
    assert ended.stdout == ""


def test_an_admin_port_that_is_taken(taken: int) -> None:
    ended = start(free_port(), taken)
    assert ended.returncode == Exit.PORT_TAKEN
    said, hint = ended.stderr.splitlines()
    assert said == f"error: cannot listen on 127.0.0.1:{taken}: address already in use"
    assert "admin.listen" in hint


def test_too_few_descriptors() -> None:
    ended = start(free_port(), free_port(), descriptors=100)
    assert ended.returncode == Exit.DESCRIPTORS
    said, hint = ended.stderr.splitlines()
    assert said.startswith("error: ")
    assert "100" in said
    assert hint.startswith("hint: ")
