"""How much of its CPUs and its memory this gateway uses, 0 to 1.

Read from /proc and the cgroups below `root`, so that a made-up tree will do; psutil would read the machine's.

CPU is the worst of three: the processes of the gateway over the CPUs they may run on; its workers over as many CPUs as
there are workers, for each is one thread and is full when one CPU is; every cgroup with a quota over its quota.
Memory is the worst cgroup that has a limit. Without one it is what the gateway holds over that and what the machine
could still give: another program that holds much is no load of ours, until it leaves us nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from sidecar.clock import Clock
from sidecar.load.cgroup import Cgroups, CpuLimit, content

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SHORTEST_S = 0.1
"""Between two readings of processor time, which is told in hundredths of a second."""


class Machine(NamedTuple):
    """What there is, for whoever has no limit."""

    cpus: float
    memory_bytes: int


class Usage(NamedTuple):
    """What the gateway uses. The ratios go above 1 where more is used than is allowed."""

    cpu: float
    """Over the time since the reading before; 0 at the first one."""
    memory: float
    cpus: float
    """The CPUs that it may use at most, quotas included."""
    memory_limit_bytes: int
    """The tightest limit; of a machine without limits all its memory."""


class Probe:
    """Measures one gateway: `supervisor` is the id of its process, `workers()` are those of its workers now."""

    def __init__(
        self, clock: Clock, supervisor: int, workers: Callable[[], Sequence[int]], root: Path = Path("/")
    ) -> None:
        self._clock = clock
        self._supervisor = supervisor
        self._workers = workers
        self._root = root
        self._cgroups = Cgroups(root)
        self._machine = machine(root)
        self._cpu = 0.0
        self._at_s = -1.0
        self._times: dict[tuple[int, str], float] = {}
        """Processor time by process and when it began: numbers of processes come back."""
        self._quotas: dict[Path, float] = {}

    def usage(self) -> Usage:
        """As it is now."""
        allowed = cpus_allowed(self._root) or self._machine.cpus
        limits = self._cgroups.cpu()
        memory, limit_bytes = self._memory()
        now_s = self._clock.monotonic_s()
        if self._at_s < 0 or now_s - self._at_s >= SHORTEST_S:
            self._measure(now_s, allowed, limits)
        return Usage(self._cpu, memory, min([allowed, *(limit.cpus for limit in limits)]), limit_bytes)

    def _measure(self, now_s: float, allowed: float, limits: Sequence[CpuLimit]) -> None:
        elapsed_s = now_s - self._at_s
        first, self._at_s = self._at_s < 0, now_s
        workers = set(self._workers())
        used_s = self._used_s({self._supervisor} | workers)
        workers_s = sum(used_s.get(pid, 0.0) for pid in workers)
        ratios = [sum(used_s.values()) / allowed, workers_s / min(allowed, len(workers) or 1)]
        ratios += [(limit.used_s - self._quotas.get(limit.path, limit.used_s)) / limit.cpus for limit in limits]
        self._quotas = {limit.path: limit.used_s for limit in limits}
        self._cpu = 0.0 if first else max(ratios) / elapsed_s

    def _used_s(self, pids: Iterable[int]) -> dict[int, float]:
        """Processor time of processes since the reading before. One that is new was not measured then: 0."""
        before, self._times = self._times, {}
        used: dict[int, float] = {}
        for pid in pids:
            try:
                stat = content(self._root / f"proc/{pid}/stat")
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended: the supervisor starts another one
            fields = stat.rpartition(")")[2].split()  # the name before may contain anything
            key, ever_s = (pid, fields[19]), (int(fields[11]) + int(fields[12])) * _TICK_S
            used[pid] = max(ever_s - before.get(key, ever_s), 0.0)
            self._times[key] = ever_s
        return used

    def _memory(self) -> tuple[float, int]:
        limits = [limit for limit in self._cgroups.memory() if 0 < limit.limit_bytes < self._machine.memory_bytes]
        if limits:
            return max(one.used_bytes / one.limit_bytes for one in limits), min(one.limit_bytes for one in limits)
        held = sum(self._held_bytes(pid) for pid in {self._supervisor, *self._workers()})
        free = _meminfo(self._root, "MemAvailable")
        return held / (held + free) if held + free else 0.0, self._machine.memory_bytes

    def _held_bytes(self, pid: int) -> int:
        """Memory of a process that nobody else has: resident without what is shared."""
        try:
            _, resident, shared, *_ = content(self._root / f"proc/{pid}/statm").split()
        except (FileNotFoundError, ProcessLookupError):
            return 0  # it has ended
        return (int(resident) - int(shared)) * _PAGE_BYTES


def machine(root: Path = Path("/")) -> Machine:
    """The CPUs that are on line and the memory, whatever this process may use of them."""
    cpus = _counted(content(root / "sys/devices/system/cpu/online"))
    return Machine(cpus, _meminfo(root, "MemTotal"))


def cpus_allowed(root: Path = Path("/")) -> int:
    """The CPUs that this process may run on: affinity and cpusets."""
    for line in content(root / "proc/self/status").splitlines():
        if line.startswith("Cpus_allowed_list:"):
            return _counted(line.partition(":")[2])
    return 0


def _meminfo(root: Path, key: str) -> int:
    """A value of /proc/meminfo, in bytes."""
    for line in content(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) << 10
    return 0


def _counted(ranges: str) -> int:
    """How many numbers a list as in `0-3,8` has."""
    total = 0
    for part in ranges.strip().split(","):
        first, _, last = part.partition("-")
        total += int(last or first) - int(first) + 1
    return total
