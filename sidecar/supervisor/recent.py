"""The last few seconds: rates and latencies from counters that only grow."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sidecar._native.ledger import PageReader
from sidecar.snapshot import Rates
from sidecar.supervisor.tally import ledger_of, quantile

WINDOW_S = 5.0


class Sample:
    """The counters at one moment."""

    def __init__(self, now_s: float, pages: Sequence[PageReader]) -> None:
        self.at_s = now_s
        totals = ledger_of(pages).totals()
        self.received = sum(row.received for row in totals)
        self.forwarded = sum(row.forwarded for row in totals)
        self.sampled_out = sum(row.sampled_out for row in totals)
        self.refused = sum(row.rejected + row.dropped_total for row in totals)
        self.requests = 0
        self.bytes = 0
        self.took: list[int] = []
        self.backends: dict[int, tuple[int, list[int]]] = {}
        for page in pages:
            for row in page.signals():
                self.requests += row.requests
                self.bytes += sum(row.answered_bytes)
                self.took = _added(self.took, row.duration)
            for backend in page.backends():
                items, latency = self.backends.get(backend.key, (0, []))
                self.backends[backend.key] = (items + sum(backend.items), _added(latency, backend.latency))


class Recent:
    """Samples of the last WINDOW_S seconds."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()

    def add(self, sample: Sample) -> None:
        """Takes a sample; older ones than the window are forgotten."""
        self._samples.append(sample)
        while sample.at_s - self._samples[0].at_s > WINDOW_S:
            self._samples.popleft()

    def rates(self) -> Rates:
        """Per second over the window."""
        if len(self._samples) < 2:
            return Rates()
        old, new = self._samples[0], self._samples[-1]
        per_s = 1 / (new.at_s - old.at_s)
        return Rates(
            requests=(new.requests - old.requests) * per_s,
            received=(new.received - old.received) * per_s,
            forwarded=(new.forwarded - old.forwarded) * per_s,
            sampled_out=(new.sampled_out - old.sampled_out) * per_s,
            refused=(new.refused - old.refused) * per_s,
            received_bytes=(new.bytes - old.bytes) * per_s,
        )

    def latency_ms(self, q: float) -> float:
        """The q-quantile of the time from a request to its answer."""
        if len(self._samples) < 2:
            return 0.0
        return quantile(_differences(self._samples[0].took, self._samples[-1].took), q) / 1000

    def backend_items(self) -> dict[int, int]:
        """Items that each backend, by key, has accepted in the window."""
        if len(self._samples) < 2:
            return {}
        old, new = self._samples[0].backends, self._samples[-1].backends
        # Where the settings of a backend change, its figures begin anew: what was counted before leaves with its row.
        return {key: max(items - old.get(key, (0, []))[0], 0) for key, (items, _) in new.items()}

    def backend_latency_ms(self, key: int, q: float) -> float:
        """The q-quantile of the time that calls to a backend took."""
        if len(self._samples) < 2 or key not in self._samples[-1].backends:
            return 0.0
        old = self._samples[0].backends.get(key, (0, []))[1]
        return quantile(_differences(old, self._samples[-1].backends[key][1]), q) / 1000


def _added(one: Sequence[int], other: Sequence[int]) -> list[int]:
    return [a + b for a, b in zip(one, other, strict=True)] if one else list(other)


def _differences(old: Sequence[int], new: Sequence[int]) -> list[int]:
    return [max(b - a, 0) for a, b in zip(old, new, strict=True)] if old else list(new)
