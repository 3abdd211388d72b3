"""Checks that hold a figure against a bound: CPU, memory, queue, error rate, the space on a disk."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field

from sidecar.load.verdict import GOOD, Verdict


@dataclass(frozen=True)
class ThresholdCheck:
    """A ratio is at most `most`."""

    name: str
    read: Callable[[], float]
    most: float
    timeout_s: float

    async def look(self) -> Verdict:
        return _held(self.read(), self.most)


@dataclass
class DiskCheck:
    """A file system is filled to at most `most`, 0 to 1."""

    path: str
    most: float
    timeout_s: float
    _asked: asyncio.Future[float] | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        return f"disk {self.path}"

    async def look(self) -> Verdict:
        # A file system that hangs would hang the loop, and hold a thread for every look: one waits, in a thread.
        if self._asked is None:
            self._asked = asyncio.ensure_future(asyncio.to_thread(_fill, self.path))
        try:
            return _held(await asyncio.shield(self._asked), self.most)
        finally:
            if self._asked.done():
                self._asked = None


def _held(value: float, most: float) -> Verdict:
    return GOOD if value <= most else Verdict(False, f"{value:.1%} is above {most:.1%}")


def _fill(path: str) -> float:
    usage = shutil.disk_usage(path)
    return 1 - usage.free / usage.total
