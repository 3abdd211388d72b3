"""Time as a thing that is handed in, so that tests own it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock: it never goes back, and says nothing about the time of day."""

    def monotonic_s(self) -> float:
        """Seconds since some fixed moment."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since the same moment."""


class SystemClock:
    """The clock of the machine."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def unix_s(self) -> float:
        return time.time()


class WallClock(Protocol):
    """The time of day: it may be stepped, so nothing may hang on it but what people read, and budgets by the hour."""

    def unix_s(self) -> float:
        """Seconds since 1970, UTC."""
