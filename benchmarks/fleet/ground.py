"""What the figures stand on: a real etcd that syncs to its disk, what processes cost, and rows of a table."""

from __future__ import annotations

import math
import os
import platform
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests import parts
from tests.coord.cluster import EtcdCluster

AS_IN_PRODUCTION = (
    "--unsafe-no-fsync=false",
    "--heartbeat-interval=100",
    "--election-timeout=1000",
    "--quota-backend-bytes=8589934592",
)
"""Over what the tests start etcd with: every write is on the disk of a majority before it is answered."""
SYNCS = 50


@contextmanager
def etcd(*options: str) -> Iterator[EtcdCluster]:
    """Three healthy members."""
    with EtcdCluster.running(parts.binary("etcd"), *AS_IN_PRODUCTION, *options) as cluster:
        yield cluster


def etcd_processes() -> list[psutil.Process]:
    """The members that this process has started."""
    return [child for child in psutil.Process().children() if child.name() == "etcd"]


def etcd_cpu_s() -> float:
    """CPU seconds of all of them so far."""
    return sum(cpu_s(process.pid) for process in etcd_processes())


def etcd_counts(cluster: EtcdCluster, *names: str) -> list[float]:
    """Prometheus counters of the members, all labels and members added up; a name may end in `{label="value"`."""
    totals = [0.0] * len(names)
    for node in cluster.nodes:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.client}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        for number, name in enumerate(names):
            whole = (f"{name} ", f"{name}{{") if "{" not in name else (name,)
            totals[number] += sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(whole))
    return totals


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, its dead threads included (clock_getcpuclockid(3))."""
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e9


def rss_mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 2**20


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all are not above."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def judged(value: float, goal: float, digits: int = 2) -> str:
    """A figure that is to stay below its goal."""
    return f"{value:.{digits}f}" + (" (missed)" if value > goal else "")


def heading(title: str, *columns: str) -> None:
    """Begins a table, after where and when it was measured."""
    print(f"\n### {title}\n\n{time.strftime('%Y-%m-%d %H:%M')}, {_machine()}\n")
    row(*columns)
    row(*["---"] * len(columns))


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def note(text: str) -> None:
    """A sentence under a table, or what is going on meanwhile."""
    print(f"\n{text}\n", flush=True)


def fsync_ms() -> float:
    """The median time that a small write takes to be on the disk of etcd."""
    with tempfile.NamedTemporaryFile(prefix="spangate-fsync-") as file:
        taken = []
        for _ in range(SYNCS):
            start_s = time.perf_counter()
            file.write(bytes(512))
            file.flush()
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - start_s) * 1e3)
        return statistics.median(taken)


def _machine() -> str:
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}, load average {load:.1f} at the start"
