"""The keeper of one worker: starts its process, watches its heartbeat, closes its books, starts it again.

STOPPED --start--> RUNNING --exit, or killed for hanging--> (books closed) --backoff--> RUNNING
                      |
                      +--Drain--> DRAINING --exit--> STOPPED
"""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from sidecar._native.ledger import PageReader, page_bytes
from sidecar.orders import Applied, Drain, Drained, Order, Refused, Start, Use, receive_report, send
from sidecar.telemetry import log

HUNG_S = 5.0
"""A heartbeat this old means that the worker hangs: it is killed, since its socket still gets its share of clients."""
START_S = 30.0
"""How long a worker may take to its first sign of life: on a busy machine Python alone takes seconds."""
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 10.0
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=256"}
"""libnghttp2 allocates some hundred small blocks per turn; with longer lists at hand a request costs 5 % less."""
STEADY_S = 30.0
"""After running this long, the next crash counts as the first one."""


class Shelf:
    """The policy and configuration in force, as descriptors of sealed memory that a restarted worker gets too."""

    def __init__(self) -> None:
        self.generation = 0
        self.descriptors: tuple[int, ...] = ()

    def put(self, generation: int, policy_fd: int, config_fd: int, *table_fds: int) -> None:
        """Owns the descriptors from now on and closes the former ones."""
        former = self.descriptors
        self.descriptors, self.generation = (policy_fd, config_fd, *table_fds), generation
        for fd in former:
            os.close(fd)


class Budget:
    """The bytes that all workers together may hold: two words of shared memory, used and permitted."""

    def __init__(self, limit_bytes: int) -> None:
        self.fd = os.memfd_create("spangate-budget", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, mmap.PAGESIZE)
        self.words = mmap.mmap(self.fd, mmap.PAGESIZE)
        struct.pack_into("QQ", self.words, 0, 0, limit_bytes)

    def read(self) -> tuple[int, int]:
        """(used, permitted)."""
        used, permitted = struct.unpack_from("QQ", self.words)
        return used, permitted


class Keeper:
    """One worker."""

    def __init__(self, index: int, version: str, budget: Budget, listeners: Sequence[int], shelf: Shelf) -> None:
        self.index = index
        self.restarts = 0
        self.generation = 0
        self._version = version
        self._budget = budget
        self._listeners = list(listeners)
        self._shelf = shelf
        self._page_fd = os.memfd_create(f"spangate-page-{index}", os.MFD_CLOEXEC)
        os.ftruncate(self._page_fd, page_bytes())
        self.page = PageReader(mmap.mmap(self._page_fd, page_bytes()))
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._stopping = asyncio.Event()
        self._drain_s = 0.0
        self._started_s = 0.0
        self._crashes = 0
        self._life: asyncio.Task[None] | None = None
        self._log = log.logger("supervisor").bind(worker=index)

    # ---- what it is

    @property
    def pid(self) -> int:
        """The process, or 0."""
        return self._process.pid if self._process is not None else 0

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None

    def heartbeat_age_s(self) -> float:
        """Since the last sign of life; counted from the start where there was none yet."""
        return time.monotonic() - max(self._beat_s(), self._started_s)

    def _beat_s(self) -> float:
        return self.page.worker().heartbeat_ns / 1e9

    # ---- orders

    def start(self) -> None:
        """Begin: the process is started, and again whenever it dies, until `drain`."""
        self._life = asyncio.get_running_loop().create_task(self._live())

    def use(self) -> None:
        """Give it what is on the shelf."""
        self._send(Use(self._shelf.generation), self._shelf.descriptors)

    def drain(self, timeout_s: float) -> None:
        """Tell it to finish; `wait` for the end."""
        self._drain_s = timeout_s
        self._stopping.set()
        self._send(Drain(timeout_s))

    async def wait(self, timeout_s: float) -> None:
        """Until it has ended; it is killed when it takes longer."""
        if self._life is None:
            return
        done, _ = await asyncio.wait([self._life], timeout=timeout_s)
        if not done:
            self._log.error("a worker does not end, it is killed")
            self.kill()
            await self._life

    def kill(self) -> None:
        """End it the hard way."""
        if self._process is not None:
            with suppress(ProcessLookupError):  # it has ended just now
                self._process.send_signal(signal.SIGKILL)

    def abandon(self) -> None:
        """End it the hard way, for good."""
        self._stopping.set()
        self.kill()

    def look(self) -> None:
        """Kill it if it hangs. Called a few times a second."""
        limit_s = HUNG_S if self._beat_s() > self._started_s else START_S
        if self.alive and self.heartbeat_age_s() > limit_s:
            self._log.error("a worker hangs, it is killed", silent_s=round(self.heartbeat_age_s(), 1))
            self.kill()

    # ---- the process

    async def _live(self) -> None:
        while not self._stopping.is_set():
            await self._run_once()
            if self._stopping.is_set():
                return
            self.restarts += 1
            steady = time.monotonic() - self._started_s > STEADY_S
            self._crashes = 1 if steady else self._crashes + 1
            with suppress(TimeoutError):
                pause_s = min(BACKOFF_FIRST_S * 2 ** min(self._crashes - 1, 10), BACKOFF_MAX_S)
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    async def _run_once(self) -> None:
        loop = asyncio.get_running_loop()
        self._started_s = time.monotonic()
        try:
            self._process, ours = await _spawned()
        except OSError as error:
            self._log.error("a worker cannot be started", reason=error.strerror or str(error))
            return
        self._started_s = time.monotonic()
        self._control = ours
        ours.setblocking(False)
        self._send(Start(self.index, self._version), [self._page_fd, self._budget.fd, *self._listeners])
        self.use()
        if self._stopping.is_set():  # since the process was begun
            self._send(Drain(self._drain_s))
        loop.add_reader(ours.fileno(), self._hear)
        code = await self._process.wait()
        loop.remove_reader(ours.fileno())
        self._hear()
        ours.close()
        self._control = None
        self._process = None
        self.generation = 0
        self._close_books(code)

    def _close_books(self, code: int) -> None:
        lost, taken = self.page.bury()
        PageReader.give_back(self._budget.words, taken)
        if not self._stopping.is_set() or code != 0:
            how = signal.Signals(-code).name if code < 0 else f"exit {code}"
            self._log.error("a worker died", how=how, dropped_items=lost)

    def _send(self, order: Order, descriptors: Sequence[int] = ()) -> None:
        if self._control is None:
            return
        try:
            send(self._control, order, descriptors)
        except OSError as error:  # it is dying: its successor gets the shelf anyway
            self._log.warning("a worker cannot be told", reason=error.strerror or str(error))

    def _hear(self) -> None:
        while self._control is not None:
            try:
                report = receive_report(self._control)
            except (BlockingIOError, ConnectionError):
                return
            match report:
                case Applied(generation):
                    self.generation = generation
                case Refused(generation, reason):
                    self._log.error("a worker refuses a policy", generation=generation, reason=reason)
                case Drained(unsent):
                    self._log.info("a worker has drained", unsent_items=unsent)
                case None:
                    asyncio.get_running_loop().remove_reader(self._control.fileno())
                    return


async def _spawned() -> tuple[asyncio.subprocess.Process, socket.socket]:
    """A worker's process, and our end of what we say to each other. OSError when the system has no more of either."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    arguments = ["-m", "sidecar.worker", str(theirs.fileno()), str(os.getpid())]
    with theirs:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                env=ENVIRONMENT | os.environ,
            )
        except BaseException:
            ours.close()
            raise
    return process, ours
