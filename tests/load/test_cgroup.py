from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.load.cgroup import Cgroups, CpuLimit, MemoryLimit
from tests.load.tree import MIB, UNLIMITED_V1, V2_MOUNT, Tree, v1_mount


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def memory_v2(used_mib: int, most: str | int, *, cache_mib: int = 0, high: str | int = "max") -> dict[str, str | int]:
    return {
        "memory.current": used_mib * MIB,
        "memory.max": most,
        "memory.high": high,
        "memory.stat": f"anon 5\nactive_file 7\ninactive_file {cache_mib * MIB}\n",
    }


def limits_mib(tree: Tree) -> list[tuple[float, float]]:
    return [(one.used_bytes / MIB, one.limit_bytes / MIB) for one in Cgroups(tree.root).memory()]


# ---- version 2


def test_a_process_without_cgroups_has_no_limits(tree: Tree) -> None:
    assert Cgroups(tree.root).memory() == []
    assert Cgroups(tree.root).cpu() == []


def test_in_a_container_its_own_cgroup_is_the_root(tree: Tree) -> None:
    """A cgroup namespace: the path is `/`, the limits are in the mount point itself."""
    tree.mount("0::/", V2_MOUNT)
    tree.group(
        "", memory_v2(300, 400 * MIB, cache_mib=100) | {"cpu.max": "150000 100000", "cpu.stat": "usage_usec 7000000\n"}
    )
    assert limits_mib(tree) == [(200, 400)]
    assert Cgroups(tree.root).cpu() == [CpuLimit(tree.root / "sys/fs/cgroup", 7.0, 1.5)]


def test_limits_of_ancestors_count(tree: Tree) -> None:
    """A pod with a limit, a container in it without one, and slices above."""
    tree.mount("0::/kubepods.slice/pod7.slice/c1", V2_MOUNT)
    tree.group("kubepods.slice", memory_v2(900, 1000 * MIB))
    tree.group(
        "kubepods.slice/pod7.slice", memory_v2(90, 100 * MIB) | {"cpu.max": "50000 100000", "cpu.stat": "usage_usec 1"}
    )
    tree.group(
        "kubepods.slice/pod7.slice/c1", memory_v2(80, "max") | {"cpu.max": "max 100000", "cpu.stat": "usage_usec 1"}
    )
    assert limits_mib(tree) == [(90, 100), (900, 1000)]
    assert [limit.cpus for limit in Cgroups(tree.root).cpu()] == [0.5]


def test_what_comes_first_high_or_max_is_the_limit(tree: Tree) -> None:
    tree.mount("0::/", V2_MOUNT)
    tree.group("", memory_v2(10, 400 * MIB, high=300 * MIB))
    assert limits_mib(tree) == [(10, 300)]
    tree.group("", memory_v2(10, "max", high=200 * MIB))
    assert limits_mib(tree) == [(10, 200)]
    tree.group("", memory_v2(10, "max"))
    assert limits_mib(tree) == []


def test_limits_are_read_anew(tree: Tree) -> None:
    """A pod may be resized in place."""
    tree.mount("0::/", V2_MOUNT)
    tree.group("", memory_v2(10, 400 * MIB))
    cgroups = Cgroups(tree.root)
    assert cgroups.memory() == [MemoryLimit(10 * MIB, 400 * MIB)]
    tree.group("", memory_v2(10, 800 * MIB))
    assert cgroups.memory() == [MemoryLimit(10 * MIB, 800 * MIB)]


def test_only_page_cache_is_taken_off_and_never_below_nothing(tree: Tree) -> None:
    tree.mount("0::/", V2_MOUNT)
    tree.group("", memory_v2(10, 400 * MIB, cache_mib=11))
    assert limits_mib(tree) == [(0, 400)]


@pytest.mark.parametrize("path", ["/../../other", "/elsewhere/deep"])
def test_a_path_that_is_not_below_the_mount_leads_to_the_mount(tree: Tree, path: str) -> None:
    tree.mount(f"0::{path}", V2_MOUNT.replace(" / /sys", " /docker/abc /sys"))
    tree.group("", memory_v2(10, 20 * MIB))
    assert limits_mib(tree) == [(10, 20)]


def test_a_folder_with_a_space_and_a_colon_in_its_name(tree: Tree) -> None:
    tree.mount("0::/a:b/c", V2_MOUNT.replace("/sys/fs/cgroup ", r"/sys/fs/cgroup/two\040words "))
    tree.group("two words/a:b/c", memory_v2(10, 20 * MIB))
    assert limits_mib(tree) == [(10, 20)]


# ---- version 1


def memory_v1(used_mib: int, limit_bytes: int, cache_mib: int = 0) -> dict[str, str | int]:
    return {
        "memory.usage_in_bytes": used_mib * MIB,
        "memory.limit_in_bytes": limit_bytes,
        "memory.stat": f"inactive_file 3\ntotal_inactive_file {cache_mib * MIB}\n",
    }


def test_version_1(tree: Tree) -> None:
    tree.mount("5:memory:/app/x\n4:cpu,cpuacct:/app", v1_mount("memory"), v1_mount("cpu,cpuacct"))
    tree.group("memory/app/x", memory_v1(30, UNLIMITED_V1))
    tree.group("memory/app", memory_v1(50, 100 * MIB, cache_mib=10))
    tree.group("cpu,cpuacct/app", {"cpu.cfs_quota_us": 200000, "cpu.cfs_period_us": 100000, "cpuacct.usage": 3 * 10**9})
    tree.group("cpu,cpuacct", {"cpu.cfs_quota_us": -1, "cpu.cfs_period_us": 100000, "cpuacct.usage": 9 * 10**9})
    assert limits_mib(tree) == [(30, UNLIMITED_V1 / MIB), (40, 100)]
    assert Cgroups(tree.root).cpu() == [CpuLimit(tree.root / "sys/fs/cgroup/cpu,cpuacct/app", 3.0, 2.0)]


def test_version_1_with_accounts_in_a_hierarchy_of_their_own(tree: Tree) -> None:
    tree.mount("4:cpu:/app\n3:cpuacct:/app", v1_mount("cpu"), v1_mount("cpuacct"))
    tree.group("cpu/app", {"cpu.cfs_quota_us": 50000, "cpu.cfs_period_us": 100000})
    tree.group("cpuacct/app", {"cpuacct.usage": 10**9})
    assert Cgroups(tree.root).cpu() == [CpuLimit(tree.root / "sys/fs/cgroup/cpu/app", 1.0, 0.5)]


def test_version_1_in_a_container_that_sees_only_its_own_end(tree: Tree) -> None:
    """Docker without cgroup namespaces: the path is the host's, and mounted is only what lies below it."""
    tree.mount("5:memory:/docker/abc/inner", v1_mount("memory", root="/docker/abc"))
    tree.group("memory/inner", memory_v1(5, 8 * MIB))
    tree.group("memory", memory_v1(6, 16 * MIB))
    assert limits_mib(tree) == [(5, 8), (6, 16)]


def test_both_versions_at_once(tree: Tree) -> None:
    """systemd's hybrid: memory is version 1's, the unified tree has no controllers of note."""
    tree.mount(
        "5:memory:/app\n0::/app", v1_mount("memory"), V2_MOUNT.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified ")
    )
    tree.group("memory/app", memory_v1(5, 8 * MIB))
    tree.group("unified/app", {"cpu.max": "25000 100000", "cpu.stat": "usage_usec 4000000"})
    assert limits_mib(tree) == [(5, 8)]
    assert [(limit.used_s, limit.cpus) for limit in Cgroups(tree.root).cpu()] == [(4.0, 0.25)]


def test_a_cgroup_that_goes_while_we_look(tree: Tree) -> None:
    tree.mount("0::/a/b", V2_MOUNT)
    tree.group("a", memory_v2(10, 20 * MIB))
    tree.group("a/b", {"memory.max": MIB})
    assert limits_mib(tree) == [(10, 20)]


def test_this_machine_has_cgroups_that_can_be_read() -> None:
    for limit in Cgroups().memory():
        assert limit.used_bytes >= 0
        assert limit.limit_bytes > 0
    assert all(limit.cpus > 0 for limit in Cgroups().cpu())
