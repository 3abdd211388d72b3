"""The connector with an engine that only keeps the sockets it is handed, and timers that are fired by hand."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest

from sidecar._native.engine import Engine
from sidecar.deliver.connector import FIRST_S, LONGEST_S, Connector
from sidecar.model import Endpoint
from tests.native.patience import until

SLOT = 7


class Sockets:
    """Stands for the engine: takes over sockets."""

    def __init__(self) -> None:
        self.slots: list[int] = []
        self.taken: list[socket.socket] = []
        self.seen: list[int] = []
        self.fails = False

    def connect(self, slot: int, fd: int) -> None:
        self.seen.append(fd)
        if self.fails:
            raise LookupError("backend 7 is not known, or connected")
        self.slots.append(slot)
        self.taken.append(socket.socket(fileno=fd))


class Dice(random.Random):
    """Throws the highest, or the lowest."""

    high = True

    def uniform(self, a: float, b: float) -> float:
        return b if self.high else a


class Timers:
    """The timers of one connector."""

    def __init__(self) -> None:
        self.delays_s: list[float] = []
        self.handles: list[asyncio.TimerHandle] = []

    @property
    def last_s(self) -> float:
        return self.delays_s[-1]


class Bench:
    """A connector to a backend, and what it does."""

    def __init__(self, address: Endpoint) -> None:
        self.engine = Sockets()
        self.dice = Dice()
        self.connector = Connector(cast("Engine", self.engine), SLOT, address, self.dice)
        self.timers = Timers()
        self.faults: list[BaseException] = []

    async def connected(self, times: int = 1) -> None:
        """Waits until so many sockets have been handed over."""
        await until(lambda: len(self.engine.taken) >= times, "the engine has the socket")

    def later(self) -> None:
        """The backend has been connected for a while."""
        self.connector._dialed_s -= 60.0

    def fire(self) -> None:
        """The time of the last timer has come."""
        self.connector.dial()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
async def bench(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    made = Bench(Endpoint(*listener.getsockname()))
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def kept(delay_s: float, act: Callable[..., object], *rest: Any) -> asyncio.TimerHandle:
        if act != made.connector.dial:
            return call_later(delay_s, act, *rest)
        made.timers.delays_s.append(delay_s)
        made.timers.handles.append(call_later(3600.0, act))
        return made.timers.handles[-1]

    monkeypatch.setattr(loop, "call_later", kept)
    loop.set_exception_handler(lambda _, context: made.faults.append(context["exception"]))
    yield made
    made.connector.close()
    for sock in made.engine.taken:
        sock.close()


def resolved_to(monkeypatch: pytest.MonkeyPatch, *answers: tuple[str, int] | OSError) -> list[str]:
    """Has the names of this loop resolve to these addresses, or fail; the hosts that were asked for."""
    asked: list[str] = []

    async def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        for answer in answers:
            if isinstance(answer, OSError):
                raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", answer) for answer in answers]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return asked


# ---- dialing


async def test_the_engine_gets_a_socket_that_connects(bench: Bench, listener: socket.socket) -> None:
    bench.connector.dial()
    await bench.connected()
    assert bench.engine.slots == [SLOT]
    [sock] = bench.engine.taken
    assert not os.get_blocking(sock.fileno())
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    ours, _ = listener.accept()
    with ours:
        assert ours.getpeername() == sock.getsockname()
    assert bench.timers.delays_s == []


async def test_it_dials_once_at_a_time(bench: Bench) -> None:
    for _ in range(3):
        bench.connector.dial()
    await bench.connected()
    await asyncio.sleep(0)
    assert len(bench.engine.taken) == 1


async def test_a_name_that_does_not_resolve(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolved_to(monkeypatch, socket.gaierror(-2, "Name or service not known"))
    bench.connector.dial()
    await until(lambda: bench.timers.delays_s, "it tries again later")
    assert (bench.timers.delays_s, bench.engine.taken, len(asked)) == ([FIRST_S], [], 1)
    bench.fire()
    await until(lambda: len(bench.timers.delays_s) == 2, "and later still")
    assert (bench.timers.last_s, len(asked)) == (2 * FIRST_S, 2)


async def test_an_address_that_cannot_be_reached(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved_to(monkeypatch, ("255.255.255.255", 9))
    bench.connector.dial()
    await until(lambda: bench.timers.delays_s, "it tries again later")
    assert bench.engine.taken == []


async def test_addresses_of_a_name_take_turns(
    bench: Bench, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved_to(monkeypatch, ("255.255.255.255", 9), listener.getsockname())
    bench.connector.dial()
    await until(lambda: bench.timers.delays_s, "the first one fails")
    bench.fire()
    await bench.connected()


async def test_what_the_engine_does_not_take_is_closed(bench: Bench) -> None:
    bench.engine.fails = True
    bench.connector.dial()
    await until(lambda: bench.faults, "the loop is told")
    assert isinstance(bench.faults[0], LookupError)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(bench.engine.seen[0])


# ---- trying again


@pytest.mark.parametrize(("high", "least"), [(True, 1.0), (False, 0.5)])
async def test_backoff_grows_and_is_bounded(bench: Bench, high: bool, least: float) -> None:
    bench.dice.high = high
    for _ in range(40):
        bench.connector.refused("connection refused")
        bench.fire()
    grown = [FIRST_S * 2**i for i in range(6)] + [LONGEST_S] * 34
    assert bench.timers.delays_s == pytest.approx([delay * least for delay in grown])


async def test_an_answer_starts_the_count_anew(bench: Bench) -> None:
    for _ in range(5):
        bench.connector.refused("connection refused")
        bench.fire()
    bench.connector.up()
    bench.connector.refused("connection refused")
    assert bench.timers.last_s == FIRST_S


async def test_after_goaway_it_dials_at_once(bench: Bench) -> None:
    bench.connector.dial()
    await bench.connected()
    bench.connector.up()
    bench.later()
    bench.connector.lost()
    assert bench.timers.delays_s == [0.0]
    bench.fire()
    await bench.connected(2)


async def test_goaway_for_every_greeting_is_no_reason_to_spin(bench: Bench) -> None:
    bench.connector.dial()
    await bench.connected()
    bench.connector.up()
    bench.connector.lost()
    assert bench.timers.delays_s == [FIRST_S]


async def test_a_connection_that_broke_is_made_again_soon(bench: Bench) -> None:
    for high in (True, False):
        bench.dice.high = high
        bench.later()
        bench.connector.lost("connection reset by peer")
        bench.fire()
    assert bench.timers.delays_s == [FIRST_S, 0.0], "with jitter: all workers have lost it"


async def test_one_timer_is_enough(bench: Bench) -> None:
    bench.connector.refused("connection refused")
    bench.connector.lost("connection reset by peer")
    bench.connector.lost()
    assert len(bench.timers.delays_s) == 1


# ---- the end


async def test_close_ends_the_wait(bench: Bench) -> None:
    bench.connector.refused("connection refused")
    bench.connector.close()
    assert [handle.cancelled() for handle in bench.timers.handles] == [True]


async def test_close_ends_a_dial(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()

    async def getaddrinfo(*_: object, **__: object) -> None:
        asked.set()
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    bench.connector.dial()
    await asked.wait()
    bench.connector.close()
    await until(lambda: bench.connector._task is None, "the dial is over")
    assert (bench.timers.delays_s, bench.faults, bench.engine.taken) == ([], [], [])


async def test_after_close_nothing_begins(bench: Bench) -> None:
    bench.connector.close()
    bench.connector.dial()
    bench.connector.lost()
    bench.connector.lost("connection reset by peer")
    bench.connector.refused("connection refused")
    assert bench.connector._task is None
    assert bench.timers.delays_s == []


async def test_a_dial_that_is_asked_for_before_the_last_one_is_put_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy loop a timer may fire between the end of a dial and the callback that follows it."""
    hand_over = bench.engine.connect

    def lost_at_once(slot: int, fd: int) -> None:
        hand_over(slot, fd)
        if len(bench.engine.taken) == 1:
            bench.connector.dial()

    monkeypatch.setattr(bench.engine, "connect", lost_at_once)
    bench.connector.dial()
    await bench.connected(2)
