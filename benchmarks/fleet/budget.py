"""budget: what cost_based spends of the budget of an hour, while load rises and falls.

The hour is that of a clock that goes sixty times as fast (--factor), so it lasts a minute, while reports, leases and
the leader keep their real intervals: what is five seconds late is late by five minutes of the hour. Eight gateways in
two regions on a real etcd; their load is simulated (loaded.py), swings by half of itself and jumps in the middle.
"""

from __future__ import annotations

import argparse
import time
from math import pi, sin

import uvloop

from benchmarks.fleet.ground import heading, note, row
from benchmarks.fleet.loaded import Loads, loaded_fleet

GATEWAYS = 8
HOUR_S = 3600.0
BUDGET, PER_SPAN = 36_000.0, 0.001
"""In the even pace of 10,000 spans per second."""
LOAD: Loads = {"shop": 3000.0, "search": 1500.0, "pay": 500.0}
GOAL = 0.05
JUMP = 3.0
CONFIG = (
    "global:\n  sampling_rate: 1.0\n  sampling_strategies: "
    f"[{{type: cost_based, budget_per_hour: {BUDGET:.0f}, per_span: {PER_SPAN}}}]\n"
)


class HasteningClock:
    """A time of day that begins with an hour, and goes `factor` times as fast."""

    def __init__(self, factor: float) -> None:
        self._factor, self._begun_s = factor, time.monotonic()

    def unix_s(self) -> float:
        return 1_000_000 * HOUR_S + (time.monotonic() - self._begun_s) * self._factor

    def restart(self) -> None:
        """The next whole hour begins now."""
        self._begun_s = time.monotonic() - HOUR_S / self._factor


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="budget", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--factor", type=float, default=60.0)
    parser.add_argument("--hours", type=int, default=3)
    given = parser.parse_args(arguments)
    heading(
        f"cost_based, an hour in {HOUR_S / given.factor:.0f} s, {GATEWAYS} gateways",
        "hour",
        "spent, % of the budget (goal 95 to 105)",
        "received, spans/s: least / most",
        "kept, spans/s: least / most",
    )
    uvloop.run(measure(given.factor, given.hours))
    note("Load swings by half of itself twice an hour, and is three times as much in the third quarter.")


async def measure(factor: float, hours: int) -> None:
    clock = HasteningClock(factor)
    seconds = round(HOUR_S / factor)
    async with loaded_fleet(clock) as fleet:
        await fleet.configure(CONFIG)
        for _ in range(GATEWAYS):
            await fleet.join(LOAD)
        await fleet.run(round(10.0))
        clock.restart()
        for hour in range(1, hours + 1):
            received: list[float] = []

            def swing(second: int) -> None:
                part = second / seconds
                level = (1 + sin(4 * pi * part) / 2) * (JUMP if 0.5 <= part < 0.75 else 1.0)
                for gateway in fleet.gateways:
                    gateway.load = {name: load * level for name, load in LOAD.items()}
                received.append(level * sum(LOAD.values()) * len(fleet.gateways))  # noqa: B023

            since = len(fleet.kept)
            await fleet.run(seconds, swing)
            kept = fleet.kept[since:]
            spent = sum(kept) * factor * PER_SPAN / BUDGET
            row(
                hour,
                f"{spent * 100:.1f}" + (" (missed)" if abs(spent - 1) > GOAL else ""),
                f"{min(received):.0f} / {max(received):.0f}",
                f"{min(kept):.0f} / {max(kept):.0f}",
            )
