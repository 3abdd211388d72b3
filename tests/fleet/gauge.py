"""How much a fleet keeps per second, counted from outside: coarse, since a test may not depend on time."""

from __future__ import annotations

import time

from tests.fleet.stage import Stage

WITHIN = 0.15
WINDOW_S = 1.0


class Gauge:
    """Looks at the ledgers whenever it is asked. It speaks of the last two windows, each on its own."""

    def __init__(self, fleet: Stage) -> None:
        self._fleet = fleet
        self._looks: list[tuple[float, int]] = []

    def holds(self, target: float) -> bool:
        """Whether spans per second have been within WITHIN of this."""
        return all(abs(rate - target) <= WITHIN * target for rate in self._rates() or [float("inf")])

    def at_most(self, limit: float) -> bool:
        """Whether they have not been more than this."""
        return all(rate <= limit for rate in self._rates() or [float("inf")])

    def _rates(self) -> list[float]:
        """Of both windows; nothing until there is enough to tell."""
        now = (time.monotonic(), sum(gateway.ledger().forwarded for gateway in self._fleet.gateways))
        self._looks.append(now)
        middle, start = self._back(WINDOW_S), self._back(2 * WINDOW_S)
        if middle is None or start is None or start is middle:  # the last one: nobody has looked in between
            return []
        return [(late[1] - early[1]) / (late[0] - early[0]) for early, late in ((start, middle), (middle, now))]

    def _back(self, for_s: float) -> tuple[float, int] | None:
        """The look so long ago; None where there is none."""
        now_s = self._looks[-1][0]
        return next((look for look in reversed(self._looks) if now_s - look[0] >= for_s), None)
