"""adaptive: how long after a step of load, and after gateways come and go, what the fleet keeps is on target again.

Eight gateways in two regions on a real etcd, in real time and with the intervals of the product; their load is
simulated (loaded.py). `within after` is the first second from which every mean of five seconds stays within 5 % until
the next event; `off` is the worst such mean, and the mean of all, from 30 seconds after the event on.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable

import uvloop

from benchmarks.fleet.ground import heading, judged, note, row
from benchmarks.fleet.loaded import LoadedFleet, Loads, loaded_fleet

TARGET = 10_000.0
GATEWAYS = 8
GOAL, GOAL_S = 0.05, 30
MEAN_S = 5
LOAD: Loads = {"shop": 3000.0, "search": 1500.0, "pay": 500.0}
CONFIG = (
    f"global:\n  sampling_strategies: [{{type: adaptive, min_rate: 0.0001, max_rate: 1.0, target_qps: {TARGET:.0f}}}]\n"
)
Event = Callable[[LoadedFleet], Awaitable[object]]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="adaptive", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=90, help="after each event")
    given = parser.parse_args(arguments)
    heading(
        f"Adaptive target of {TARGET:.0f} spans/s, {GATEWAYS} gateways, a lease of 15 s",
        "event",
        f"within 5 % after, s (goal {GOAL_S})",
        "off by at most / in the mean, % (goal 5)",
    )
    uvloop.run(measure(given.seconds))
    note("A gateway that crashes is believed in until its lease has expired: until then the others keep too little.")


async def measure(seconds: int) -> None:
    async with loaded_fleet() as fleet:
        await fleet.configure(CONFIG)
        for what, happen in EVENTS:
            await happen(fleet)
            since = len(fleet.kept)
            await fleet.run(seconds)
            report(what, fleet.kept[since:])


def report(what: str, kept: list[float]) -> None:
    means = [sum(kept[i : i + MEAN_S]) / MEAN_S / TARGET - 1 for i in range(len(kept) - MEAN_S + 1)]
    outside = [i for i, off in enumerate(means) if abs(off) > GOAL]
    settled_s = outside[-1] + MEAN_S if outside else 0
    later = means[GOAL_S:]
    worst, mean = max(later, key=abs), sum(kept[GOAL_S:]) / len(kept[GOAL_S:]) / TARGET - 1
    row(
        what,
        judged(settled_s, GOAL_S, 0),
        f"{worst * 100:+.1f} / {mean * 100:+.1f}" + (" (missed)" if abs(worst) > GOAL else ""),
    )


def scaled(factor: float) -> Event:
    async def happen(fleet: LoadedFleet) -> None:
        for gateway in fleet.gateways:
            gateway.load = {name: load * factor for name, load in gateway.load.items()}

    return happen


def joined(many: int) -> Event:
    async def happen(fleet: LoadedFleet) -> None:
        load = fleet.gateways[-1].load if fleet.gateways else LOAD
        await asyncio.gather(*(fleet.join(load) for _ in range(many)))

    return happen


def left(many: int) -> Event:
    async def happen(fleet: LoadedFleet) -> None:
        await asyncio.gather(*(fleet.leave(gateway) for gateway in fleet.gateways[-many:]))

    return happen


async def crashed(fleet: LoadedFleet) -> None:
    """One that leads nothing, with what it receives."""
    await fleet.crash(next(one for one in fleet.gateways if not one.coordinator.leads))


async def led_away(fleet: LoadedFleet) -> None:
    """The one that leads the fleet leaves."""
    leader = next(one for one in fleet.gateways if "global" in one.coordinator.leads)
    await fleet.leave(leader)


EVENTS: tuple[tuple[str, Event], ...] = (
    ("start", joined(GATEWAYS)),
    ("load x 10", scaled(10)),
    ("half as many gateways more", joined(GATEWAYS // 2)),
    ("those leave", left(GATEWAYS // 2)),
    ("one crashes", crashed),
    ("the leader leaves", led_away),
    ("load / 10", scaled(0.1)),
)
