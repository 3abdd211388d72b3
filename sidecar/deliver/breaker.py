"""A circuit breaker for one backend: after failures in a row it is passed over for a while, then tried again.

CLOSED --`LIMIT` failures in a row--> OPEN --hold--> HALF_OPEN --success--> CLOSED
                                       ^                |
                                       +--- failure ----+   (hold doubles, up to its maximum)
"""

from __future__ import annotations

from enum import Enum, auto

LIMIT = 5
HOLD_S = 1.0
HOLD_MAX_S = 30.0


class State(Enum):
    """Whether calls go through."""

    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


class Breaker:
    """Counts failures; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.state = State.CLOSED
        self._failures = 0
        self._hold_s = HOLD_S
        self._until_s = 0.0

    def failed(self, now_s: float) -> float | None:
        """A call failed for a passing reason. The seconds to pass the backend over, when that begins now."""
        self._failures += 1
        if self.state is State.OPEN or (self.state is State.CLOSED and self._failures < LIMIT):
            return None
        if self.state is State.HALF_OPEN:
            self._hold_s = min(self._hold_s * 2, HOLD_MAX_S)
        self.state = State.OPEN
        self._until_s = now_s + self._hold_s
        return self._hold_s

    def tick(self, now_s: float) -> bool:
        """Whether the hold has just ended: the backend may be tried again."""
        if self.state is State.OPEN and now_s >= self._until_s:
            self.state = State.HALF_OPEN
            return True
        return False

    def try_again(self) -> bool:
        """Ends the hold early: the connection is a new one, or nobody else is left. Whether there was a hold."""
        if self.state is not State.OPEN:
            return False
        self.state = State.HALF_OPEN
        return True

    def succeeded(self) -> None:
        """A call went well."""
        if self.state is not State.OPEN:
            self.state = State.CLOSED
            self._failures = 0
            self._hold_s = HOLD_S
