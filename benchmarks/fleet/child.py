"""Processes of a figure: each runs an asyncio program that hears orders from its parent and tells it what happens."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

import uvloop

from benchmarks.fleet.ground import cpu_s
from sidecar.model import LogFormat, LogLevel
from sidecar.telemetry import log

END_S = 60.0


class Line:
    """A child's end: what it says to its parent, and the orders that come back."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._orders: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        asyncio.get_running_loop().add_reader(connection.fileno(), self._hear)

    def say(self, *what: Any) -> None:
        self._connection.send(what)

    async def order(self) -> tuple[Any, ...]:
        """The next one; `("end",)` when the parent has gone."""
        return await self._orders.get()

    def _hear(self) -> None:
        try:
            self._orders.put_nowait(self._connection.recv())
        except EOFError:
            asyncio.get_running_loop().remove_reader(self._connection.fileno())
            self._orders.put_nowait(("end",))


Program = Callable[..., Awaitable[None]]
"""Called with a Line and further arguments; a function of a module, since it is begun by spawn."""


class Children:
    """The parent's end of all of them."""

    def __init__(self, processes: Sequence[multiprocessing.process.BaseProcess], lines: Sequence[Connection]) -> None:
        self._processes, self._lines = processes, lines

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes if process.pid is not None]

    def tell(self, *what: Any) -> None:
        """An order to all."""
        for line in self._lines:
            line.send(what)

    def each(self, kind: str, within_s: float) -> list[tuple[Any, ...]]:
        """One message of that kind from each, in their order; others are passed over. RuntimeError if one is late."""
        heard: dict[int, tuple[Any, ...]] = {}
        while len(heard) < len(self._lines):
            waited_for = [line for number, line in enumerate(self._lines) if number not in heard]
            ready = wait(waited_for, within_s)
            if not ready:
                raise RuntimeError(f"{len(waited_for)} processes have not said {kind!r} within {within_s:g} s")
            for number, line in enumerate(self._lines):
                if line in ready and (said := _received(line))[0] == kind:
                    heard[number] = said[1:]
        return [heard[number] for number in sorted(heard)]

    def cpu_s(self) -> float:
        """Used so far by all together."""
        return sum(cpu_s(pid) for pid in self.pids)


@contextmanager
def children(program: Program, arguments: Sequence[tuple[Any, ...]]) -> Iterator[Children]:
    """A process for each tuple of arguments. They are told `end` at the end of the `with`."""
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    spawn = multiprocessing.get_context("spawn")
    lines, processes = [], []
    for given in arguments:
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_main, args=(theirs, program, given), daemon=True)
        process.start()
        theirs.close()
        lines.append(ours)
        processes.append(process)
    family = Children(processes, lines)
    try:
        yield family
        family.tell("end")
        for process in processes:
            process.join(END_S)
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()


def _received(line: Connection) -> tuple[Any, ...]:
    try:
        said: tuple[Any, ...] = line.recv()
    except EOFError:
        raise RuntimeError("a process has ended; what it says of that stands above") from None
    return said


def _main(connection: Connection, program: Program, given: tuple[Any, ...]) -> None:
    log.configure(LogLevel.ERROR, LogFormat.TEXT)

    async def live() -> None:
        await program(Line(connection), *given)

    uvloop.run(live())
