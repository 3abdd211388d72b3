"""The demo from beginning to end: who is started when, what is shown meanwhile, and in which order all of it stops.

Start: backends, gateway, traffic. End: the traffic flushes, the gateway drains, the backends give their last count.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from types import FrameType

import click
from rich.console import Console, Group
from rich.live import Live

from sidecar.cli import admin
from sidecar.cli.demo import screen
from sidecar.cli.demo.books import Came, Order, Sent, faults
from sidecar.cli.demo.child import Child
from sidecar.cli.demo.gateway import GatewayProcess
from sidecar.errors import DemoFailed, Exit, GatewayUnreachable
from sidecar.model import Signal
from sidecar.snapshot import GatewayStatus, LedgerRow, LedgerSnapshot

BACKENDS = 3
LOOK_S = 0.5
ANSWER_S = 10.0
START_S = 30.0
FLUSH_S = 20.0
DRAIN_S = 40.0


class Play:
    """One demo. `options` are those of `spangate run`, but for the backends."""

    def __init__(
        self, options: Sequence[str], *, rate: int, seconds: float | None, plain: bool, svg: Path | None = None
    ) -> None:
        self._options = options
        self._svg = svg
        self._rate = rate
        self._seconds = seconds
        self._console = Console()
        self._plain = plain or not self._console.is_terminal
        self._stop = Event()
        self._status = GatewayStatus(version="", region="", uptime_s=0.0, ready=False)
        self._ledger = LedgerSnapshot()

    def run(self) -> int:
        """Until --seconds are over or somebody says stop; the exit code."""
        with ExitStack() as stack, self._signals():
            self._backends = Child("sidecar.cli.demo.backends", Came(), str(BACKENDS))
            stack.callback(self._backends.kill)
            self._traffic = Child("sidecar.cli.demo.traffic", Sent())
            stack.callback(self._traffic.kill)
            came = self._backends.ask(timeout_s=START_S)
            named = [f"--backend={address},name=backend-{i}" for i, address in enumerate(came.addresses, 1)]
            self._gateway = GatewayProcess([*self._options, *named])
            stack.callback(self._gateway.kill)
            if not self._gateway.wait_serving(START_S):
                click.echo("\n".join(self._gateway.complaints), err=True)
                return self._gateway.exit_code
            self._wait_ready()
            self._traffic.ask(Order(f"http://{self._gateway.listen}", self._rate), timeout_s=START_S)
            if self._plain:
                self._tell()
            else:
                self._show()
            return self._close()

    # ---- while it runs

    def _wait_ready(self) -> None:
        deadline_s = time.monotonic() + START_S
        while not self._stop.wait(0.05) and not self._ready() and time.monotonic() < deadline_s:
            pass

    def _ready(self) -> bool:
        self._ask()
        return self._status.ready

    def _look(self) -> None:
        """Ask all three, the backends last. DemoFailed when one of them has ended."""
        self._gateway.check()
        self._ask()
        self._traffic.ask(timeout_s=ANSWER_S)
        self._backends.ask(timeout_s=ANSWER_S)

    def _ask(self) -> None:
        try:
            self._status = admin.ask(self._gateway.admin, "/status", GatewayStatus)
            self._ledger = admin.ask(self._gateway.admin, "/ledger", LedgerSnapshot)
        except GatewayUnreachable:
            self._gateway.check()
            raise

    def _beats(self, period_s: float) -> Iterator[float]:
        """A look every `period_s`; the seconds since the start."""
        start_s = time.monotonic()
        for beat in range(1, 1 << 62):
            now_s = time.monotonic() - start_s
            end_s = self._seconds if self._seconds is not None else now_s + period_s
            if self._stop.wait(max(min(beat * period_s, end_s) - now_s, 0)):
                return
            now_s = time.monotonic() - start_s
            self._look()
            yield now_s
            if self._seconds is not None and now_s >= self._seconds:
                return

    def _tell(self) -> None:
        click.echo(f"the gateway serves {self._gateway.listen}, its admin http://{self._gateway.admin}/")
        for at_s in self._beats(1.0):
            click.echo(screen.line(at_s, self._status, self._row(), self._backends.said))

    def _show(self) -> None:
        with Live(console=self._console, auto_refresh=False) as live:
            for _ in self._beats(LOOK_S):
                live.update(self._frame(), refresh=True)

    def _frame(self) -> Group:
        return screen.frame(
            self._status,
            self._ledger,
            self._row(),
            self._traffic.said,
            self._backends.said,
            title=f"demo: {self._rate:,} spans/s from five services and their SDKs; Ctrl-C drains and ends",
            notice=self._gateway.trouble,
        )

    def _row(self) -> LedgerRow:
        """The ledger of all traces."""
        rows = [row for row in self._ledger.totals() if row.signal is Signal.TRACES]
        return rows[0] if rows else LedgerRow(signal=Signal.TRACES, service="*")

    # ---- the end

    def _close(self) -> int:
        """Traffic first, so that nothing new comes; the backends last, so that they have it all. The exit code."""
        if self._svg is not None:
            screen.save(self._frame(), self._svg)
        click.echo("\nthe traffic stops, the gateway drains ...")
        sent = self._traffic.end(timeout_s=FLUSH_S)
        self._ask()
        self._gateway.drain()
        code = self._gateway.wait(DRAIN_S)
        came = self._backends.end(timeout_s=ANSWER_S)
        row = self._gateway.final(self._row())
        self._console.print()
        self._console.print(screen.final(row))
        self._console.print()
        self._console.print(screen.outside(row, sent, came, under_way=False))
        if code != 0:
            raise DemoFailed(f"the gateway ended with {code}", " | ".join(self._gateway.complaints[-3:]))
        if found := faults(row, sent, came):
            raise DemoFailed("; ".join(found))
        return Exit.OK

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C, SIGTERM and a terminal that closes end the demo in order; the second time at once."""

        def stop(_number: int, _frame: FrameType | None) -> None:
            if self._stop.is_set():
                raise KeyboardInterrupt
            self._stop.set()

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
