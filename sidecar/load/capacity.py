"""What a collector can take: as configured, else what it was seen to take."""

from __future__ import annotations

import math
from collections import deque

SUSTAINED_S = 10.0
"""A rate counts when it was held for so long: a burst into an empty queue says nothing."""
HALF_LIFE_S = 86400.0
"""After so long without load half of what was learnt is forgotten: machines change, and nights are quiet."""
QUEUE_MOST = 0.5
"""With fuller queues it takes more in than it gets rid of."""


class Capacity:
    """Spans per second; 0 while nothing is known.

    Learnt is the highest rate that it held for `SUSTAINED_S` while it was healthy and its queues were less than
    `QUEUE_MOST` full. That is a lower bound: a collector that was never under load seems to have little room.
    """

    def __init__(self, configured_qps: float = 0.0) -> None:
        self._configured_qps = configured_qps
        self._learnt_qps = 0.0
        self._at_s: float | None = None
        self._recent: deque[tuple[float, float]] = deque()

    @property
    def qps(self) -> float:
        """What it can take."""
        return self._configured_qps or self._learnt_qps

    def add(self, at_s: float, qps: float, queue: float, *, healthy: bool) -> None:
        """Takes the rate at which it was receiving up to `at_s`, and how it did meanwhile."""
        if self._at_s is not None:
            self._learnt_qps *= math.exp2(-max(at_s - self._at_s, 0.0) / HALF_LIFE_S)
        self._at_s = at_s
        if not healthy or queue >= QUEUE_MOST:
            self._recent.clear()
            return
        self._recent.append((at_s, qps))
        while len(self._recent) > 1 and at_s - self._recent[1][0] >= SUSTAINED_S:
            self._recent.popleft()
        if at_s - self._recent[0][0] >= SUSTAINED_S:
            self._learnt_qps = max(self._learnt_qps, min(rate for _, rate in self._recent))
