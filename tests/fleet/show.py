"""The show of `make fleet`, from the first process to the last ledger."""

from __future__ import annotations

import ctypes
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from types import FrameType

import click
from rich.console import Console
from rich.live import Live

from sidecar.control.topology import Topology
from sidecar.snapshot import LedgerRow
from tests.fleet import screen
from tests.fleet.acts import programme
from tests.fleet.scene import Scene, scene

LOOK_S = 0.5
TELL_S = 1.0
PR_SET_PDEATHSIG = 1


class Show:
    """One show. `seconds` None is until told to stop."""

    def __init__(self, *, seconds: float | None, act_s: float, rate: int, plain: bool) -> None:
        self._seconds, self._act_s, self._rate = seconds, act_s, rate
        self._console = Console()
        self._plain = plain or not self._console.is_terminal
        self._stop = Event()
        self._news = "load flows, everything is kept"
        self._topology: Topology | None = None
        self._notice = ""
        self._row = LedgerRow(signal="traces", service="*")  # type: ignore[arg-type]

    def run(self) -> int:
        """Until the end; 0 when every book agrees."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._told_to_stop)
        self._console.print("3 members of etcd, 2 regions of 2 gateways, 4 collectors: one moment ...")
        with tempfile.TemporaryDirectory(prefix="spangate-fleet-") as home, scene(Path(home)) as here:
            here.flow(self._rate)
            (self._tell if self._plain else self._show)(here)
            return self._close(here)

    # ---- while it runs

    def _beats(self, here: Scene, period_s: float) -> Iterator[float]:
        """A look every `period_s`, and an act every `act_s`; the seconds since the start."""
        acts = programme()
        start_s = time.monotonic()
        due_s = self._act_s / 2
        while not self._stop.wait(period_s):
            now_s = time.monotonic() - start_s
            if self._seconds is not None and now_s >= self._seconds:
                return
            if now_s >= due_s:
                due_s = now_s + self._act_s
                act = next(acts)
                self._news = act.words
                if self._plain:
                    self._console.print(f"{now_s:4.0f} s  -- {act.words}", soft_wrap=True)
                act.do(here)
            self._look(here)
            yield now_s

    def _look(self, here: Scene) -> None:
        self._row = here.ledger()
        try:
            self._topology, self._notice = here.gateways[-1].topology(), ""
        except (OSError, ValueError):  # while etcd elects, the page says so instead
            self._notice = here.gateways[-1].fleet.trouble or "the store does not answer"

    def _show(self, here: Scene) -> None:
        with Live(console=self._console, auto_refresh=False) as live:
            for _ in self._beats(here, LOOK_S):
                live.update(screen.frame(self._topology, self._row, self._news, self._notice), refresh=True)

    def _tell(self, here: Scene) -> None:
        for at_s in self._beats(here, min(TELL_S, self._act_s)):
            self._console.print(screen.line(at_s, self._topology, self._row, self._notice), soft_wrap=True)

    # ---- the end

    def _close(self, here: Scene) -> int:
        """The load first, so that nothing new comes; the collectors last, so that they have it all."""
        self._console.print("\nthe load stops, all gateways drain ...")
        here.silence()
        row = here.drain()
        came = here.count()
        self._console.print(screen.ledger(row))
        self._console.print(f"clients were told OK for {here.acknowledged:,} of {here.sent:,} spans;")
        self._console.print(f"{came:,} are at collectors, {came - row.forwarded:,} of them twice")
        well = row.difference == 0 and row.received == here.sent == here.acknowledged and came >= row.forwarded
        if not well:
            self._console.print("the books do not agree", style="bold red")
        return 0 if well else 1

    def _told_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        if self._stop.is_set():
            raise KeyboardInterrupt
        self._stop.set()


@click.command("fleet")
@click.option("--seconds", type=click.FloatRange(1), help="End after so long.  [default: at Ctrl-C]")
@click.option("--act", "act_s", type=click.FloatRange(0.1), default=10.0, show_default=True, help="Seconds per act.")
@click.option("--rate", type=click.IntRange(1), default=50, show_default=True, help="Requests a second per gateway.")
@click.option("--plain", is_flag=True, help="A line a second, as where the output is no terminal.")
def command(*, seconds: float | None, act_s: float, rate: int, plain: bool) -> None:
    """Run a fleet on this machine, let things happen to it, and show how it does."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # when the terminal's process dies without a word
    sys.exit(Show(seconds=seconds, act_s=act_s, rate=rate, plain=plain).run())


if __name__ == "__main__":
    command()
