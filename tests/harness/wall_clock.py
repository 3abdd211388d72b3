"""The time of day of processes, stepped while they run: what an operator, NTP or a thawed machine does to it."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


class WallClock:
    """A clock for all processes that are started with its `environment`. The folder is its own."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "wall_clock"
        self._library = folder / "wall_clock.so"
        compiler = os.environ.get("CC", "cc")
        command: list[str | Path] = [compiler, "-O2", "-shared", "-fPIC", "-o", self._library, SOURCE]
        subprocess.run(command, check=True, timeout=60)
        self.off_s = 0
        self._file.write_bytes(struct.pack("q", 0))

    @property
    def environment(self) -> Mapping[str, str]:
        return {"LD_PRELOAD": str(self._library), "WALL_CLOCK_FILE": str(self._file)}

    def step(self, by_s: int) -> None:
        """At once, in every process."""
        self.off_s += by_s
        with self._file.open("r+b") as file:
            file.write(struct.pack("q", self.off_s))
