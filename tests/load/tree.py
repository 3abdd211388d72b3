"""Made-up machines: /proc and /sys of processes, control groups and memory, as the kernel would show them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1 << 20
UNLIMITED_V1 = 9223372036854771712

V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"


def v1_mount(controllers: str, root: str = "/") -> str:
    return f"33 31 0:30 {root} /sys/fs/cgroup/{controllers} rw,relatime master:9 - cgroup cgroup rw,{controllers}"


class Tree:
    """A machine of `cpus` CPUs and 1,000 MiB, of which 600 are to be had, and one process that may use all of it."""

    def __init__(self, root: Path, cpus: int = 4) -> None:
        self.root = root
        self.write("sys/devices/system/cpu/online", f"0-{cpus - 1}\n")
        self.allow(f"0-{cpus - 1}")
        self.memory(available_mib=600)
        self.write("proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")

    def write(self, path: str, text: str | int) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(text))

    def allow(self, cpus: str) -> None:
        self.write("proc/self/status", f"Name:\tspangate\nCpus_allowed:\tf\nCpus_allowed_list:\t{cpus}\n")

    def memory(self, *, available_mib: int) -> None:
        self.write(
            "proc/meminfo", f"MemTotal: {1000 << 10} kB\nMemFree: 1 kB\nMemAvailable: {available_mib << 10} kB\n"
        )

    def mount(self, cgroup: str, *mounts: str) -> None:
        """What the process is told of its cgroups, and where hierarchies are mounted."""
        self.write("proc/self/cgroup", cgroup + "\n")
        self.write("proc/self/mountinfo", "\n".join(["22 1 8:1 / / rw - ext4 /dev/sda1 rw", *mounts, ""]))

    def group(self, folder: str, files: Mapping[str, str | int]) -> None:
        """Files of a cgroup."""
        for name, text in files.items():
            self.write(f"sys/fs/cgroup/{folder}/{name}", text)

    def process(self, pid: int, cpu_s: float, *, began: int = 100, held_mib: float = 1, name: str = "python3") -> None:
        """A process and what it has used: three quarters of the time in user mode."""
        ticks = round(cpu_s * TICKS)
        system = ticks // 4
        fields = ["S", "1", *["0"] * 9, str(ticks - system), str(system), *["0"] * 6, str(began), "0"]
        self.write(f"proc/{pid}/stat", f"{pid} ({name}) " + " ".join(fields))
        held = round(held_mib * MIB / PAGE)
        self.write(f"proc/{pid}/statm", f"99999 {held + 500} 500 1 0 900 0")

    def end(self, pid: int) -> None:
        for name in ("stat", "statm"):
            (self.root / f"proc/{pid}/{name}").unlink()
