"""Waiting for what must come true, and ports that are free."""

import random
import socket
import time
from collections.abc import Callable

LIMIT_S = 20.0
FIRST_PORT, LAST_PORT = 20_000, 32_000
"""Below the ports that the kernel gives to outgoing connections: a backend that is away keeps its port to itself."""


def until(holds: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    """Returns once `holds()` is true. AssertionError with `what` when it does not become so in time."""
    end_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end_s, f"waited {limit_s:.0f} s in vain: {what}"
        time.sleep(0.01)


_given: set[int] = set()


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens, and that nobody was given here before."""
    while True:
        port = random.randrange(FIRST_PORT, LAST_PORT)
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port


def listens(port: int) -> bool:
    """Whether a connection to the port comes about."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
