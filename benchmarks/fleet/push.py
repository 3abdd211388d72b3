"""push: from a write to etcd to the last of 100 complete control stacks that has applied it.

A stack is a gateway's control plane with a connection of its own (stack.py), in at most four processes on one machine.
One gateway has a machine to itself: the row of a single stack is what it would see, and the others show what so many
of them cost here. CPU is that of the processes with the stacks, less what they use while nothing is written.

Three sorts of writes: a configuration with other rates; with another routing strategy; a collector's weight, which its
region's leader turns into a view first. The last two fill slot tables anew.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import tempfile
import time
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.fleet.child import Children, Line, children
from benchmarks.fleet.ground import (
    etcd,
    etcd_cpu_s,
    fsync_ms,
    heading,
    judged,
    note,
    percentile,
    row,
)
from benchmarks.fleet.senses import collector
from benchmarks.fleet.stack import REGION, ControlStack
from sidecar.clock import SystemClock
from sidecar.config.fleet_file import read_fleet
from sidecar.config.schema import CoordinationConfig
from sidecar.control.stored import stored
from sidecar.coord.etcd import EtcdStore
from sidecar.coord.keys import Keys
from sidecar.coord.session import Session

PROCESSES = 4
COLLECTORS = 10
GOAL_MS, GOAL_CPU_MS = 50.0, 1.0
IDLE_S = 4.0
APPLIED_S, READY_S = 30.0, 120.0
FEWER = 20
"""Of the sorts that fill tables anew."""
REST_S = 1.0
"""What follows an apply: a leader's sums, the last good on disk."""
MEMORY = "/dev/shm"  # noqa: S108  a folder of our own is made in it
"""For the last good guidance: gateways sync it to disks of their own, not all to that of etcd."""

Key = tuple[int, float]
"""What a stack has applied: version of the configuration, weight of the first collector."""


class Sort(StrEnum):
    """What is written."""

    RATES = "rates"
    STRATEGY = "routing strategy"
    WEIGHT = "a collector's weight, by way of the leader"


class Written(NamedTuple):
    """One write, in monotonic nanoseconds."""

    begun_ns: int
    returned_ns: int
    applied_ns: int


class Measured(NamedTuple):
    """What was measured of writes of one sort."""

    writes: list[Written]
    cpu_ms: float
    """Per stack and apply."""
    etcd_cpu_ms: float
    """Per write, three members."""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="push", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--stacks", default="1,10,100", help="how many, one row each")
    parser.add_argument("--writes", type=int, default=200)
    parser.add_argument("--pause", type=float, default=0.3, help="seconds between an apply and the next write")
    given = parser.parse_args(arguments)
    heading(
        f"Policy push: etcd write to applied, {given.writes} writes, three members (fsync {fsync_ms():.1f} ms)",
        "stacks",
        "write",
        "n",
        "from its start, ms p50 / p99 / max",
        "from its return, p50 / p99",
        f"CPU ms per stack and apply (goal {GOAL_CPU_MS:g})",
        "etcd CPU ms per write",
    )
    for stacks in map(int, given.stacks.split(",")):
        for announcing in (False, True):
            for sort, measured in asyncio.run(
                measure(stacks, given.writes, given.pause, announcing=announcing)
            ).items():
                report(stacks, sort, measured, announcing=announcing)
    note(
        "`announcing`: with what each gateway then tells the fleet, which a leader among them adds up. Of n stacks on "
        "k cores the last one cannot have applied sooner than n / k times the CPU of one."
    )


def report(stacks: int, sort: Sort, measured: Measured, *, announcing: bool) -> None:
    whole = [(one.applied_ns - one.begun_ns) / 1e6 for one in measured.writes]
    after = [(one.applied_ns - one.returned_ns) / 1e6 for one in measured.writes]
    p99 = percentile(whole, 99)
    rates = sort is Sort.RATES
    row(
        f"{stacks}{', announcing' if announcing else ''}",
        sort,
        len(measured.writes),
        f"{percentile(whole, 50):.1f} / {judged(p99, GOAL_MS, 1) if rates else f'{p99:.1f}'} / {max(whole):.1f}",
        f"{percentile(after, 50):.1f} / {percentile(after, 99):.1f}",
        judged(measured.cpu_ms, GOAL_CPU_MS) if rates else f"{measured.cpu_ms:.2f}",
        f"{measured.etcd_cpu_ms:.2f}",
    )


async def measure(stacks: int, writes: int, pause_s: float, *, announcing: bool) -> dict[Sort, Measured]:
    with etcd() as cluster, tempfile.TemporaryDirectory(prefix="spangate-push-", dir=MEMORY) as folder:
        coordination = cluster.config(timeout_s=4.0)
        writer = Writer(coordination)
        await writer.begin()
        processes = min(PROCESSES, stacks)
        shares = [range(stacks)[first::processes] for first in range(processes)]
        given = [(coordination, [*share], folder, announcing) for share in shares]
        with children(run_stacks, given) as fleet:
            await _all(fleet, writer.key, READY_S)
            await asyncio.sleep(2.0)
            numbers = {sort: writes if sort is Sort.RATES else max(writes // FEWER, 2) for sort in Sort}
            measured = {sort: await _measured(fleet, writer, sort, n, stacks, pause_s) for sort, n in numbers.items()}
            await writer.end()
            return measured


async def _measured(  # noqa: PLR0917  a phase and its circumstances
    fleet: Children, writer: Writer, sort: Sort, writes: int, stacks: int, pause_s: float
) -> Measured:
    idle_before, etcd_idle_before = await _idle(fleet)
    begun_s, cpu_before, etcd_before = time.monotonic(), fleet.cpu_s(), etcd_cpu_s()
    done = []
    for _ in range(writes):
        begun_ns, returned_ns = await writer.write(sort)
        done.append(Written(begun_ns, returned_ns, await _all(fleet, writer.key, APPLIED_S)))
        await asyncio.sleep(pause_s)
    await asyncio.sleep(REST_S)
    elapsed_s, cpu, etcd_cpu = time.monotonic() - begun_s, fleet.cpu_s() - cpu_before, etcd_cpu_s() - etcd_before
    idle_after, etcd_idle_after = await _idle(fleet)
    return Measured(
        done,
        (cpu - (idle_before + idle_after) / 2 * elapsed_s) * 1e3 / (stacks * writes),
        (etcd_cpu - (etcd_idle_before + etcd_idle_after) / 2 * elapsed_s) * 1e3 / writes,
    )


async def _all(fleet: Children, key: Key, within_s: float) -> int:
    """When the last one had applied that."""
    fleet.tell("applied", key)
    answers: list[tuple[int]] = await asyncio.to_thread(fleet.each, "applied", within_s)
    return max(at_ns for (at_ns,) in answers)


async def _idle(fleet: Children) -> tuple[float, float]:
    """CPU seconds per second while nothing is written: of the stacks, of etcd."""
    before, etcd_before = fleet.cpu_s(), etcd_cpu_s()
    await asyncio.sleep(IDLE_S)
    return (fleet.cpu_s() - before) / IDLE_S, (etcd_cpu_s() - etcd_before) / IDLE_S


class Writer:
    """Writes into the store what people and collectors write."""

    def __init__(self, coordination: CoordinationConfig) -> None:
        self.key: Key = (0, 1.0)
        """What is applied once the last write is."""
        self._keys = Keys(coordination.prefix)
        self._store = EtcdStore(coordination)
        self._session = Session(self._store, 60.0, clock=SystemClock(), dice=random.Random(1))
        self._strategy = "consistent_hash"

    async def begin(self) -> None:
        """A first configuration, and collectors."""
        self._session.start()
        await self._session.ready()
        for number in range(COLLECTORS):
            await self._register(number, 1.0)
        await self._configure()

    async def write(self, sort: Sort) -> tuple[int, int]:
        """The next one of this sort: when it was begun, when the store had it."""
        if sort is Sort.STRATEGY:
            self._strategy = "consistent_hash" if self._strategy != "consistent_hash" else "weighted_round_robin"
        begun_ns = time.monotonic_ns()
        if sort is Sort.WEIGHT:
            self.key = (self.key[0], 3.0 - self.key[1])
            await self._register(0, self.key[1])
        else:
            await self._configure()
        return begun_ns, time.monotonic_ns()

    async def end(self) -> None:
        await self._session.close()
        await self._store.close()

    async def _configure(self) -> None:
        version = self.key[0] + 1
        body = configuration(version, self._strategy)
        blob = stored(body, read_fleet(body, "bench").sections, version=version, author="bench")
        await self._store.put(self._keys.global_config, msgspec.json.encode(blob))
        self.key = (version, self.key[1])

    async def _register(self, number: int, weight: float) -> None:
        record = collector(number, REGION, weight)
        key = f"{self._keys.collectors(REGION)}{record.service.id}"
        await self._session.put(key, msgspec.json.encode(record))


def configuration(version: int, strategy: str) -> str:
    """The mission's example with rates that alternate."""
    rate = (0.1, 0.2)[version % 2]
    return f"""\
global:
  sampling_rate: {rate}
  sampling_strategies:
    - {{type: adaptive, min_rate: 0.01, max_rate: {rate + 0.3:.1f}, target_qps: 100000}}
    - type: priority_based
      rules:
        - {{priority: high, rate: 1.0, services: ["payment", "checkout"]}}
        - {{priority: normal, rate: {rate}}}
        - {{priority: low, rate: 0.01, services: ["debug", "test"]}}
  degradation: {{enabled: true, threshold: 0.8, target_rate: 0.01, recovery_threshold: 0.6}}
  rate_limiting: {{max_qps: 1000000, burst_size: 10000, per_service_limit: 10000}}
  routing: {{strategy: {strategy}}}
  routing_rules:
    - {{service: "critical-*", target_region: {REGION}, priority: high}}
    - {{service: "batch-*", target_region: {REGION}, priority: low}}
"""


async def run_stacks(
    line: Line,
    coordination: CoordinationConfig,
    numbers: list[int],
    folder: str,
    announcing: bool,  # noqa: FBT001
) -> None:
    """A process with some of the stacks."""
    applied: dict[int, tuple[Key, int]] = {}
    wanted: Key | None = None

    def tell() -> None:
        nonlocal wanted
        if wanted is not None and len(applied) == len(numbers) and all(key == wanted for key, _ in applied.values()):
            wanted = None
            line.say("applied", max(at_ns for _, at_ns in applied.values()))

    def heard(number: int, version: int, weight: float, at_ns: int) -> None:
        applied[number] = ((version, weight), at_ns)
        tell()

    stacks = [
        ControlStack(
            coordination,
            f"gw-{number}",
            Path(folder) / str(number),
            lambda *what, number=number: heard(number, *what),
            announcing=announcing,
        )
        for number in numbers
    ]
    await asyncio.gather(*(stack.start() for stack in stacks))
    gc.collect()
    gc.freeze()  # the pause of a full collection is that of all these heaps, where a gateway has one
    while (order := await line.order())[0] != "end":
        wanted = order[1]
        tell()
    await asyncio.gather(*(stack.stop() for stack in stacks))
