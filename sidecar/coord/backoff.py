"""How long to wait before the next try."""

from __future__ import annotations

import random

FIRST_S = 0.1
LONGEST_S = 10.0


class Backoff:
    """Full jitter: anything from 0 to a bound that doubles with every try.

    Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: of the ways to spread retries it makes the
    least work for the server.
    """

    def __init__(self, dice: random.Random, *, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> None:
        self._dice = dice
        self._first_s = first_s
        self._longest_s = longest_s
        self._bound_s = first_s

    def next_s(self) -> float:
        """Seconds to wait now."""
        wait_s = self._dice.uniform(0, self._bound_s)
        self._bound_s = min(self._bound_s * 2, self._longest_s)
        return wait_s

    def reset(self) -> None:
        """It works again: the next failure is a first one."""
        self._bound_s = self._first_s
