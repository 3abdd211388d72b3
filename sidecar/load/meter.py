"""The load of this gateway: ten minutes of seconds, moving averages, and what is to be expected.

Counters come in, one reading a second; what they say is told as rates. A counter that has gone back has begun anew:
nobody knows what happened in between, so that interval is left out, neither as a peak nor as a pause. After a missed
tick the next reading speaks for all the time since the last one.

Latency, where nobody measures it, is Little's law: W = L / lambda, the mean time in the gateway is what is in it over
what leaves it per second (J. D. C. Little, A Proof for the Queuing Formula: L = lambda W, 1961).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import takewhile
from operator import attrgetter
from typing import NamedTuple

import msgspec

from sidecar.load.ewma import Ewma
from sidecar.load.forecast import WINDOW_S, Forecast, Sample, Score, Scorer, forecast
from sidecar.snapshot import Load

HISTORY = 600
"""Seconds that are remembered, a point each."""
HORIZON_S = 30.0
TAU_S = 5.0
"""Of the moving averages."""
SHORTEST_S = 0.2
"""A reading that comes sooner after the one before is left to the next one: so little time makes no rate."""
LONGEST_LATENCY_MS = HISTORY * 1000.0
"""What Little's law is believed: when nothing leaves any more, it tends to infinity."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway has counted up to a moment, and how it is at that moment."""

    at_s: float
    """Of a monotonic clock."""
    received: int
    """Spans since the start."""
    received_bytes: int
    failed: int = 0
    """Of those received, what was rejected or dropped since the start."""
    in_flight: int = 0
    """Of those received, what is held now."""
    queue_bytes: int = 0
    """What waits for backends now."""
    queue: float = 0.0
    """Fill of the fullest queue or budget, 0 to 1."""
    cpu: float = 0.0
    memory: float = 0.0
    latency_ms: float | None = None
    """Mean time in the gateway, where it is measured; None: Little's law."""


class Point(NamedTuple):
    """One second of history, or what stands for more of them."""

    at_s: float
    qps: float
    bytes_per_s: float
    queue_bytes: int
    queue: float
    cpu: float
    memory: float
    latency_ms: float

    @property
    def pressure(self) -> float:
        """What degradation acts on: the worst of CPU, memory and queue."""
        return max(self.cpu, self.memory, self.queue)


_PRESSING: tuple[Callable[[Point], float], ...] = (attrgetter("cpu"), attrgetter("memory"), attrgetter("queue"))


class Meter:
    """Turns readings into load."""

    def __init__(self, horizon_s: float = HORIZON_S) -> None:
        self.horizon_s = horizon_s
        self._history: deque[Point] = deque(maxlen=HISTORY)
        self._last: Reading | None = None
        self._scorer = Scorer(horizon_s)
        self._expected = forecast((), horizon_s)
        names = ("qps", "bytes_per_s", "failed", "finished", "in_flight", "cpu", "queue")
        self._means = {name: Ewma(TAU_S) for name in names}
        self._latency_ms = 0.0

    def add(self, reading: Reading) -> None:
        """Takes a reading, about once a second."""
        last = self._last
        if last is not None and 0 <= reading.at_s - last.at_s < SHORTEST_S:
            return
        self._last = reading
        if last is None or _begun_anew(last, reading):
            return
        point = self._measured(last, reading)
        self._history.append(point)
        while point.at_s - self._history[0].at_s > HISTORY:
            self._history.popleft()
        # The worst of three lines, not a line through the worst: a queue that fills is seen while CPU is still higher.
        each = (self.forecast(figure, most=max(1.0, figure(point))) for figure in _PRESSING)
        expected = max(each, key=attrgetter("value"))
        self._scorer.add(Sample(point.at_s, point.pressure), expected)
        self._expected = self._scorer.tempered(expected)

    def load(self) -> Load:
        """As it is now, over the last few seconds; the forecast is of the worst of CPU, memory and queue."""
        last, mean = self._last, self._means
        return Load(
            cpu=mean["cpu"].value,
            memory=last.memory if last else 0.0,
            queue=mean["queue"].value,
            qps=mean["qps"].value,
            bytes_per_s=mean["bytes_per_s"].value,
            latency_ms=self._latency_ms,
            error_rate=min(mean["failed"].value / mean["qps"].value, 1.0) if mean["qps"].value > 0 else 0.0,
            forecast=self._expected.value,
            confidence=self._expected.confidence,
        )

    @property
    def pressure(self) -> float:
        """The worst of CPU, memory and queue, over the last few seconds."""
        load = self.load()
        return max(load.cpu, load.memory, load.queue)

    @property
    def history(self) -> tuple[Point, ...]:
        """The last ten minutes, the oldest first; where no reading came there is a gap."""
        return tuple(self._history)

    def forecast(
        self, figure: Callable[[Point], float], horizon_s: float | None = None, most: float = float("inf")
    ) -> Forecast:
        """What is expected of a figure of the history, `horizon_s` from now."""
        now_s = self._history[-1].at_s if self._history else 0.0
        recent = takewhile(lambda point: now_s - point.at_s <= WINDOW_S, reversed(self._history))
        samples = [Sample(point.at_s, figure(point)) for point in recent][::-1]
        return forecast(samples, self.horizon_s if horizon_s is None else horizon_s, most)

    @property
    def score(self) -> Score:
        """How far the forecasts of the pressure were off, and how far it would be off that nothing changes."""
        return self._scorer.score()

    def _measured(self, last: Reading, now: Reading) -> Point:
        elapsed_s = now.at_s - last.at_s
        rates = {
            "qps": now.received - last.received,
            "bytes_per_s": now.received_bytes - last.received_bytes,
            "failed": now.failed - last.failed,
            "finished": (now.received - now.in_flight) - (last.received - last.in_flight),
        }
        for name, count in rates.items():
            self._means[name].add(count / elapsed_s, elapsed_s)
        for name, value in (("in_flight", now.in_flight), ("cpu", now.cpu), ("queue", now.queue)):
            self._means[name].add(value, elapsed_s)
        self._latency_ms = self._little_ms() if now.latency_ms is None else now.latency_ms
        return Point(
            now.at_s,
            rates["qps"] / elapsed_s,
            rates["bytes_per_s"] / elapsed_s,
            now.queue_bytes,
            now.queue,
            now.cpu,
            now.memory,
            self._latency_ms,
        )

    def _little_ms(self) -> float:
        inside, per_s = self._means["in_flight"].value, self._means["finished"].value
        if inside <= 0:
            return 0.0
        return min(1000 * inside / per_s, LONGEST_LATENCY_MS) if per_s > 0 else LONGEST_LATENCY_MS


def _begun_anew(last: Reading, now: Reading) -> bool:
    """Whether a counter, or time, has gone back."""
    return (
        now.at_s <= last.at_s
        or now.received < last.received
        or now.received_bytes < last.received_bytes
        or now.failed < last.failed
    )
