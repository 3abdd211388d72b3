"""The part of a gateway in what is for all, once nobody leads: the one that it had while somebody surely did.

A leader that has died is missed only when its lease has ended. Until then load may rise, while the sum that shares are
taken of stays as it was told last: all together would have several times the whole.

    led, share by share --> remembered for 2 u --> nobody leads --> the middle one of those older than u
"""

from __future__ import annotations

from collections import deque
from statistics import median

UNNOTICED = 1.5
"""Of a lease's ttl: so long a leader may be gone before it shows. A store whose own leader changes extends leases."""


class Share:
    """Of one gateway. `lease_ttl_s` is that of the leader's lease."""

    def __init__(self, lease_ttl_s: float) -> None:
        self._unnoticed_s = UNNOTICED * lease_ttl_s
        self._seen: deque[tuple[float, float]] = deque()
        self._held: float | None = None

    def led(self, share: float, now_s: float) -> None:
        """Somebody leads, as it seems, and this is its share now."""
        self._seen.append((now_s, share))
        while self._seen[0][0] < now_s - 2 * self._unnoticed_s:
            self._seen.popleft()

    def without_leader(self, gateways: int, now_s: float) -> float:
        """Its share for as long as nobody leads; an equal one of so many gateways where it never knew better."""
        sure = [share for at_s, share in self._seen if at_s <= now_s - self._unnoticed_s]
        if sure or (self._seen and self._held is None):
            self._held = median(sure or [share for _, share in self._seen])
        self._seen.clear()
        return 1.0 / max(gateways, 1) if self._held is None else self._held
