"""What Linux control groups allow this process: memory and CPU limits, its own and those of every ancestor.

Both versions, and both at once: a controller that is mounted as version 1 is read there, else in the unified tree. The
files are those of the kernel's `admin-guide/cgroup-v2.rst` and `admin-guide/cgroup-v1/memory.rst`, and of
`scheduler/sched-bwc.rst`. All paths are below `root`, so that a made-up tree will do.

A limit anywhere above binds as well as one's own, and is shared with the neighbours there: so each level is told with
what all its processes use.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class MemoryLimit(NamedTuple):
    """A cgroup that may not hold more than so much memory."""

    used_bytes: int
    """Without page cache that the kernel gives up before it kills anybody (inactive_file)."""
    limit_bytes: int


class CpuLimit(NamedTuple):
    """A cgroup that may not use more than so many CPUs."""

    path: Path
    used_s: float
    """Processor time of all its processes, ever."""
    cpus: float


_CHUNK_BYTES = 64 << 10


class _Mount(NamedTuple):
    """A line of /proc/self/mountinfo that mounts a hierarchy."""

    root: str
    """The cgroup that is seen at the mount point."""
    point: str
    controllers: frozenset[str]
    """Those of version 1; none of them is the unified hierarchy."""


class Cgroups:
    """The cgroups of this process. The folders are found once, the limits are read each time: they may be changed."""

    def __init__(self, root: Path = Path("/")) -> None:
        mounts = tuple(_mounts(root))
        paths = dict(_paths(root))
        self._unified = _folders(root, mounts, paths, "")
        self._memory = _folders(root, mounts, paths, "memory")
        self._cpu = _folders(root, mounts, paths, "cpu")
        self._cpuacct = _folders(root, mounts, paths, "cpuacct")

    def memory(self) -> list[MemoryLimit]:
        """All levels that have a limit on memory, the innermost first."""
        return [*self._memory_v1()] if self._memory else [*self._memory_v2()]

    def cpu(self) -> list[CpuLimit]:
        """All levels that have a limit on CPU time, the innermost first."""
        return [*self._cpu_v1()] if self._cpu else [*self._cpu_v2()]

    def _memory_v2(self) -> Iterator[MemoryLimit]:
        for folder in self._unified:
            # At `high` the kernel slows processes down, at `max` it kills: what comes first is the limit.
            limits = [limit for name in ("memory.high", "memory.max") if (limit := _number(folder / name)) is not None]
            used = _number(folder / "memory.current")
            if limits and used is not None:
                yield _memory(used, _stat(folder / "memory.stat", "inactive_file"), min(limits))

    def _memory_v1(self) -> Iterator[MemoryLimit]:
        for folder in self._memory:
            limit = _number(folder / "memory.limit_in_bytes")
            used = _number(folder / "memory.usage_in_bytes")
            if limit is not None and used is not None:
                yield _memory(used, _stat(folder / "memory.stat", "total_inactive_file"), limit)

    def _cpu_v2(self) -> Iterator[CpuLimit]:
        for folder in self._unified:
            quota, _, period = (_text(folder / "cpu.max") or "max").partition(" ")
            used_us = _stat(folder / "cpu.stat", "usage_usec")
            if quota != "max" and used_us is not None:
                yield CpuLimit(folder, used_us / 1e6, int(quota) / int(period))

    def _cpu_v1(self) -> Iterator[CpuLimit]:
        for folder, accounts in zip(self._cpu, self._cpuacct or self._cpu, strict=False):
            quota = _number(folder / "cpu.cfs_quota_us")
            period = _number(folder / "cpu.cfs_period_us")
            used_ns = _number(accounts / "cpuacct.usage")
            if quota is not None and quota > 0 and period and used_ns is not None:
                yield CpuLimit(folder, used_ns / 1e9, quota / period)


def _memory(used_bytes: int, cache_bytes: int | None, limit_bytes: int) -> MemoryLimit:
    return MemoryLimit(max(used_bytes - (cache_bytes or 0), 0), limit_bytes)


def _mounts(root: Path) -> Iterator[_Mount]:
    """proc(5): `id parent device ROOT POINT options [tags] - TYPE source OPTIONS`."""
    for line in (_text(root / "proc/self/mountinfo") or "").splitlines():
        place, _, kind = line.partition(" - ")
        fields, (type_, *rest) = place.split(), kind.split() or [""]
        if type_ == "cgroup2":
            yield _Mount(_plain(fields[3]), _plain(fields[4]), frozenset())
        elif type_ == "cgroup":
            yield _Mount(_plain(fields[3]), _plain(fields[4]), frozenset(rest[-1].split(",")))


def _paths(root: Path) -> Iterator[tuple[str, str]]:
    """cgroups(7): `number:CONTROLLERS:PATH`; the unified hierarchy has no controllers."""
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, path


def _folders(root: Path, mounts: tuple[_Mount, ...], paths: dict[str, str], controller: str) -> tuple[Path, ...]:
    """The cgroup of this process and its ancestors as far as they are mounted, the innermost first."""
    there = [mount for mount in mounts if (controller in mount.controllers if controller else not mount.controllers)]
    if not there or controller not in paths:
        return ()
    path = paths[controller]
    # A container without a cgroup namespace is told a path of the host, of which it sees only the end.
    best = max(there, key=lambda mount: len(mount.root) if _below(path, mount.root) is not None else -1)
    inside = _below(path, best.root) or ""
    top = root / best.point.lstrip("/")
    names = [name for name in inside.split("/") if name]
    return tuple(top.joinpath(*names[:depth]) for depth in range(len(names), -1, -1))


def _below(path: str, ancestor: str) -> str | None:
    """The rest of a path below its ancestor; None when it is not below, as with `/../sibling`."""
    ancestor = ancestor.rstrip("/")
    if ".." in path.split("/") or not f"{path}/".startswith(f"{ancestor}/"):
        return None
    return path[len(ancestor) :]


def _plain(field: str) -> str:
    r"""A field of mountinfo, in which a space is written `\040`."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def content(path: Path) -> str:
    """A small file of the kernel's. OSError. Several are read each second, and this way costs a third of read_text."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return b"".join(iter(lambda: os.read(fd, _CHUNK_BYTES), b"")).decode(errors="replace")
    finally:
        os.close(fd)


def _text(path: Path) -> str | None:
    """The content of a file; None where there is none: the root has no limits, and a cgroup may go while we look."""
    try:
        return content(path).strip()
    except OSError:
        return None


def _number(path: Path) -> int | None:
    """The number in a file; None where there is none, or `max`."""
    text = _text(path)
    return None if text in {None, "max"} else int(str(text))


def _stat(path: Path, key: str) -> int | None:
    """The value of a key in a file of keys and values."""
    for line in (_text(path) or "").splitlines():
        name, _, value = line.partition(" ")
        if name == key:
            return int(value)
    return None
