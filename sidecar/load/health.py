"""From single looks to the health of a collector, and from collectors to the health of their region.

                 rise good in a row                  fall bad in a row
    UNKNOWN ----------------------------> HEALTHY -----------------------> UNHEALTHY
       |                                     ^                               |  ^
       |                                     +--- rise * 2^flaps good -------+  |
       +------------------ fall bad in a row -----------------------------------+

Whoever falls before it was well for `STEADY` looks is flapping: each time doubles the good looks that it then needs, up
to `MOST_FLAPS` times; every `STEADY` good looks take one back. That is route flap damping (RFC 2439) with looks for
time: a collector that comes and goes every few seconds would move its traces each time.
"""

from __future__ import annotations

from sidecar.load.verdict import Verdict
from sidecar.model import Health, RegionHealth

STEADY = 30
MOST_FLAPS = 4
HEALTHY_PERCENT = 80
DEGRADED_PERCENT = 50


class HealthState:
    """Counts looks at one collector: `rise` good ones in a row make it healthy, `fall` bad ones unhealthy."""

    def __init__(self, rise: int, fall: int) -> None:
        self.health = Health.UNKNOWN
        self.reason = ""
        """Why it is unhealthy: what the last bad look said."""
        self._rise = rise
        self._fall = fall
        self._good = 0
        self._bad = 0
        self._well = 0
        """Good looks since it became healthy, or since a flap was forgiven."""
        self._flaps = 0

    @property
    def needed(self) -> int:
        """Good looks in a row that make it healthy."""
        return self._rise << self._flaps

    def add(self, verdict: Verdict) -> bool:
        """Takes a look. Whether health or reason have changed."""
        before = self.health, self.reason
        if verdict.ok:
            self._good, self._bad = self._good + 1, 0
            self._looked_well()
        else:
            self._good, self._bad = 0, self._bad + 1
            self._looked_bad(verdict.reason)
        return (self.health, self.reason) != before

    def _looked_well(self) -> None:
        if self.health is Health.HEALTHY:
            self._well += 1
            if self._well >= STEADY and self._flaps:
                self._flaps, self._well = self._flaps - 1, 0
        elif self._good >= self.needed:
            self.health, self.reason, self._well = Health.HEALTHY, "", 0

    def _looked_bad(self, reason: str) -> None:
        if self._bad < self._fall:
            return
        if self.health is Health.HEALTHY and self._well < STEADY:
            self._flaps = min(self._flaps + 1, MOST_FLAPS)
        self.health, self.reason = Health.UNHEALTHY, reason


def region_health(healthy: int, total: int) -> RegionHealth:
    """Of a region by how many of its collectors are healthy. One without collectors is not healthy."""
    if total and 100 * healthy >= HEALTHY_PERCENT * total:
        return RegionHealth.HEALTHY
    if total and 100 * healthy >= DEGRADED_PERCENT * total:
        return RegionHealth.DEGRADED
    return RegionHealth.UNHEALTHY
