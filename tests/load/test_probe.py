from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sidecar.clock import SystemClock
from sidecar.load.probe import SHORTEST_S, Machine, Probe, cpus_allowed, machine
from tests.load.clock import HandClock
from tests.load.tree import MIB, UNLIMITED_V1, V2_MOUNT, Tree, v1_mount

SUPERVISOR, WORKERS = 100, [101, 102]


class Lab:
    """A gateway of three processes on a made-up machine of four CPUs."""

    def __init__(self, root: Path) -> None:
        self.tree = Tree(root)
        self.clock = HandClock()
        self.workers = list(WORKERS)
        self.use(0, 0, 0)

    def use(self, *cpu_s: float) -> None:
        """What supervisor and workers have used by now."""
        for pid, used_s in zip([SUPERVISOR, *WORKERS], cpu_s, strict=True):
            self.tree.process(pid, used_s, name="spangate (worker) 1")

    def probe(self) -> Probe:
        return Probe(self.clock, SUPERVISOR, lambda: self.workers, self.tree.root)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


# ---- CPU


def test_the_first_reading_measures_nothing(lab: Lab) -> None:
    lab.use(9, 9, 9)
    assert lab.probe().usage().cpu == 0


def test_cpu_is_what_the_workers_have_of_what_they_can_use(lab: Lab) -> None:
    """Two workers are two threads: they are full when two of the four CPUs are."""
    probe = lab.probe()
    probe.usage()
    lab.clock.now_s += 2
    lab.use(0.2, 1.0, 2.0)
    assert probe.usage().cpu == pytest.approx(3.0 / 2 / 2)


def test_cpu_of_the_whole_tree_counts_where_cpus_are_few(lab: Lab) -> None:
    lab.tree.allow("2")
    probe = lab.probe()
    probe.usage()
    lab.clock.now_s += 1
    lab.use(0.2, 0.3, 0.4)
    usage = probe.usage()
    assert (usage.cpu, usage.cpus) == pytest.approx((0.9, 1))


def test_a_quota_counts_with_all_that_run_under_it(lab: Lab) -> None:
    lab.tree.mount("0::/pod/me", V2_MOUNT)
    lab.tree.group("pod/me", {"cpu.max": "max 100000", "cpu.stat": "usage_usec 0"})
    lab.tree.group("pod", {"cpu.max": "50000 100000", "cpu.stat": "usage_usec 1000000"})
    probe = lab.probe()
    probe.usage()
    lab.clock.now_s += 1
    lab.use(0, 0.1, 0.1)
    lab.tree.group("pod", {"cpu.stat": "usage_usec 1400000"})
    usage = probe.usage()
    assert (usage.cpu, usage.cpus) == pytest.approx((0.8, 0.5))


def test_readings_at_once_are_one_reading(lab: Lab) -> None:
    probe = lab.probe()
    probe.usage()
    lab.clock.now_s += 1
    lab.use(0, 1, 0)
    assert probe.usage().cpu == pytest.approx(0.5)
    lab.clock.now_s += 0.01
    lab.use(0, 1.01, 0)
    assert probe.usage().cpu == pytest.approx(0.5)


def test_a_worker_that_is_started_again_counts_from_then_on(lab: Lab) -> None:
    probe = lab.probe()
    lab.use(0, 50, 50)
    probe.usage()
    lab.clock.now_s += 1
    lab.workers = [103, 102]
    lab.tree.end(101)
    lab.tree.process(103, 30)
    assert probe.usage().cpu == 0
    lab.clock.now_s += 1
    lab.tree.process(103, 31)
    assert probe.usage().cpu == pytest.approx(0.5)


def test_a_worker_that_has_just_ended_is_no_error(lab: Lab) -> None:
    probe = lab.probe()
    probe.usage()
    lab.tree.end(101)
    lab.clock.now_s += 1
    assert probe.usage().cpu == 0
    lab.workers.clear()
    lab.clock.now_s += 1
    assert probe.usage().cpu == 0


def test_another_process_with_the_number_of_the_former_one(lab: Lab) -> None:
    probe = lab.probe()
    lab.use(0, 50, 50)
    probe.usage()
    lab.clock.now_s += 1
    lab.tree.process(101, 80, began=999)
    assert probe.usage().cpu == 0


# ---- memory


def test_without_a_limit_memory_is_held_against_what_is_left(lab: Lab) -> None:
    """What others hold does not count, until they leave nothing."""
    lab.tree.process(101, 0, held_mib=98)
    usage = lab.probe().usage()
    assert (usage.memory, usage.memory_limit_bytes) == pytest.approx((100 / 700, 1000 * MIB))
    lab.tree.memory(available_mib=0)
    assert lab.probe().usage().memory == 1


def test_the_worst_limit_counts(lab: Lab) -> None:
    lab.tree.mount("0::/a/b", V2_MOUNT)
    lab.tree.group("a", {"memory.max": 200 * MIB, "memory.current": 180 * MIB})
    lab.tree.group("a/b", {"memory.max": 100 * MIB, "memory.current": 50 * MIB})
    usage = lab.probe().usage()
    assert (usage.memory, usage.memory_limit_bytes) == (0.9, 100 * MIB)


@pytest.mark.parametrize("limit_bytes", [UNLIMITED_V1, 1000 * MIB, 0])
def test_a_limit_that_limits_nothing_is_none(lab: Lab, limit_bytes: int) -> None:
    lab.tree.mount("5:memory:/a", v1_mount("memory"))
    lab.tree.group("memory/a", {"memory.limit_in_bytes": limit_bytes, "memory.usage_in_bytes": 500 * MIB})
    usage = lab.probe().usage()
    assert (usage.memory, usage.memory_limit_bytes) == pytest.approx((3 / 603, 1000 * MIB))


# ---- the machine


def test_what_there_is(lab: Lab) -> None:
    assert machine(lab.tree.root) == Machine(4, 1000 * MIB)
    lab.tree.allow("0-1,3")
    assert cpus_allowed(lab.tree.root) == 3


def test_this_process_on_this_machine() -> None:
    clock = SystemClock()
    probe = Probe(clock, os.getpid(), lambda: [os.getpid()])
    first = probe.usage()
    end_s, worked_s = clock.monotonic_s() + 2 * SHORTEST_S, time.process_time() + 0.05
    while clock.monotonic_s() < end_s or time.process_time() < worked_s:
        pass
    second = probe.usage()
    assert first.cpu == 0
    assert second.cpu > 0
    assert 0 < second.memory < 1
    assert second.cpus <= (os.cpu_count() or 1)
