"""Who is there, by what hangs on leases, without believing the store when it loses many at once.

A store that restarts, changes its leader or is cut off lets leases expire whose holders are alive and well. They come
back within seconds; a list of members that had been emptied meanwhile would have moved every trace, twice.

    there --farewell--> gone                            however many: they say so themselves
      ^  |
      |  +--deleted---> gone                            one now and then: it has gone
      |  |
      |  +------------> missed --grace over--> gone     several within the window, or after a relist; or the last one
      +---- put again ----+
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from sidecar.clock import Clock
from sidecar.coord.replica import Change
from sidecar.coord.session import FAREWELL
from sidecar.coord.store import KeyValue
from sidecar.coord.subscribers import Subscribers
from sidecar.telemetry import log

SHARE = 0.3
"""More than this part of the members within the window is a storm."""
WINDOW_S = 10.0
"""Leases that were renewed at different times expire at different times, too: spread over a third of a ttl."""
GRACE_S = 60.0


def is_storm(vanished: int, members: int, share: float = SHARE) -> bool:
    """Whether so many of so many are too many to have gone. A single one is not, unless he is the last."""
    return vanished > max(1, share * members) or vanished >= members


class Source(Protocol):
    """Keys and their changes: a Mirror."""

    @property
    def entries(self) -> Mapping[str, KeyValue]:
        """By key."""

    def subscribe(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Calls `callback` after every change. The answer ends it."""


class Survivors:
    """The members under a mirror's prefix. Who vanishes in a storm stays a member for `grace_s`, unless he returns.

    Whoever vanishes while others are missed counts as one of that storm, each with a grace of his own.
    """

    def __init__(
        self,
        mirror: Source,
        *,
        clock: Clock,
        grace_s: float = GRACE_S,
        share: float = SHARE,
        window_s: float = WINDOW_S,
    ) -> None:
        self.storms = 0
        """Storms since the start."""
        self._clock = clock
        self._grace_s = grace_s
        self._share = share
        self._window_s = window_s
        self._members = {key: entry for key, entry in mirror.entries.items() if entry.value != FAREWELL}
        self._missed: dict[str, float] = {}
        self._leaving: set[str] = set()
        """Who has said good-bye and is the last."""
        self._departed: deque[tuple[float, KeyValue]] = deque()
        """Who was believed to have gone, within the window."""
        self._subscribers = Subscribers[[Mapping[str, KeyValue]]]("members")
        self._timer: asyncio.TimerHandle | None = None
        self._end = mirror.subscribe(self._changed)
        self._log = log.logger("coord")

    @property
    def members(self) -> Mapping[str, KeyValue]:
        """By key, those missed with what they said last."""
        return MappingProxyType(self._members)

    @property
    def missed(self) -> frozenset[str]:
        """Keys of members whom the store does not have."""
        return frozenset(self._missed)

    def subscribe(self, callback: Callable[[Mapping[str, KeyValue]], None]) -> Callable[[], None]:
        """Calls `callback` with all members after every change. The answer ends it, and may be called twice."""
        return self._subscribers.add(callback)

    def close(self) -> None:
        """Follows the mirror no longer."""
        self._end()
        if self._timer is not None:
            self._timer.cancel()

    def _changed(self, change: Change) -> None:
        now_s = self._clock.monotonic_s()
        while self._departed and self._departed[0][0] <= now_s - self._window_s:
            self._departed.popleft()
        before = dict(self._members)
        for entry in change.put:
            if entry.value == FAREWELL:
                self._leaving.add(entry.key)
            else:
                self._members[entry.key] = entry
                self._missed.pop(entry.key, None)
                self._leaving.discard(entry.key)
        self._let_go(now_s)
        self._departed = deque((at_s, gone) for at_s, gone in self._departed if gone.key not in self._members)
        there = self._members.keys() - self._missed.keys()
        deleted = [entry for entry in change.deleted if entry.key in there]
        if deleted:
            self._part(deleted, now_s, relisted=change.relisted)
        if self._members != before:
            self._subscribers.tell(self.members)

    def _let_go(self, now_s: float) -> None:
        """Believes those who say good-bye, once somebody else is there: never nobody, all of a sudden."""
        if self._members.keys() <= self._leaving:
            for key in self._members:
                self._missed.setdefault(key, now_s + self._grace_s)
            self._arm()
            return
        for key in self._leaving:
            self._members.pop(key, None)
            self._missed.pop(key, None)
        self._leaving.clear()

    def _part(self, deleted: list[KeyValue], now_s: float, *, relisted: bool) -> None:
        vanished = len(deleted) + len(self._missed) + len(self._departed)
        all_of_them = len(self._members) + len(self._departed)
        if not relisted and not is_storm(vanished, all_of_them, self._share):
            for entry in deleted:
                del self._members[entry.key]
                self._departed.append((now_s, entry))
            return
        if not self._missed:
            self.storms += 1
            self._log.warning("many members vanished at once", vanished=vanished, members=all_of_them)
        # Those who went just before were its first victims.
        for entry in [*(gone for _, gone in self._departed), *deleted]:
            self._members[entry.key] = entry
            self._missed[entry.key] = now_s + self._grace_s
        self._departed.clear()
        self._arm()

    def _arm(self) -> None:
        if self._timer is None:
            wait_s = min(self._missed.values(), default=math.inf) - self._clock.monotonic_s()
            if wait_s < math.inf:
                self._timer = asyncio.get_running_loop().call_later(max(wait_s, 0.01), self._rung)

    def _rung(self) -> None:
        """Believes that those are gone whose grace is over."""
        self._timer = None
        now_s = self._clock.monotonic_s()
        gone = [key for key, until_s in self._missed.items() if until_s <= now_s]
        for key in gone:
            del self._missed[key], self._members[key]
        self._leaving &= self._members.keys()
        self._arm()
        if gone:
            self._log.warning("members are given up", members=len(gone))
            self._subscribers.tell(self.members)
