"""Sums over the pages of all workers: what the gateway as a whole has counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from typing import Final

from sidecar._native.ledger import ANSWERED, DROPPED, SAMPLED_OUT, BackendRow, PageReader
from sidecar.model import Signal
from sidecar.snapshot import ErrorCount, Figures, Histogram, LedgerRow, LedgerSnapshot, RequestCount
from sidecar.supervisor.observed import Counts

SIGNALS: Final = tuple(Signal)
METHODS: Final = {
    Signal.TRACES: "TraceService/Export",
    Signal.LOGS: "LogsService/Export",
    Signal.METRICS: "MetricsService/Export",
    Signal.PROFILES: "ProfilesService/Export",
}
_GOOD: Final = frozenset({"ok", "partial"})


def ledger_of(pages: Iterable[PageReader]) -> LedgerSnapshot:
    """The rows of all workers, added up by signal and service. Each row adds up at any instant, so do their sums."""
    sums: dict[tuple[int, str], list[int]] = {}
    for page in pages:
        for row in page.rows():
            counts = (row.received, row.forwarded, row.sampled_out, row.rejected, row.in_flight)
            values = (*counts, *row.causes, *row.dropped)
            known = sums.setdefault((row.signal, row.service), [0] * len(values))
            for i, value in enumerate(values):
                known[i] += value
    return LedgerSnapshot(tuple(starmap(_row, sorted(sums.items()))))


def _row(key: tuple[int, str], sums: list[int]) -> LedgerRow:
    received, forwarded, sampled_out, rejected, in_flight, *more = sums
    causes, dropped = more[: len(SAMPLED_OUT)], more[len(SAMPLED_OUT) :]
    return LedgerRow(
        signal=SIGNALS[key[0]],
        service=key[1],
        received=received,
        forwarded=forwarded,
        sampled_out=sampled_out,
        sampled_out_by={cause: count for cause, count in zip(SAMPLED_OUT, causes, strict=True) if count},
        rejected=rejected,
        dropped={reason: count for reason, count in zip(DROPPED, dropped, strict=True) if count},
        in_flight=in_flight,
    )


def observed_of(pages: Iterable[PageReader]) -> dict[str, Counts]:
    """What sampling has seen of the spans of each service since the start, in all workers."""
    sums: dict[str, Counts] = {}
    for page in pages:
        for row in page.spans():
            counts = Counts(row.received, row.kept, row.errors, row.kept_bytes, row.arrived)
            sums[row.service] = sums[row.service] + counts if row.service in sums else counts
    return sums


def figures_of(pages: Sequence[PageReader]) -> Figures:
    """Requests, refusals, durations, batch sizes and oddities of all workers."""
    requests: dict[tuple[int, str], int] = {}
    refused: dict[str, int] = {}
    refused_bytes: dict[str, int] = {}
    durations: dict[str, Histogram] = {}
    batches = Histogram((), (0,), 0.0)
    workers = [page.worker() for page in pages]
    for page in pages:
        for row in page.rows():
            requests[row.signal, row.service] = requests.get((row.signal, row.service), 0) + row.requests
        for signal, figures in zip(SIGNALS, page.signals(), strict=True):
            for name, count, size in zip(ANSWERED, figures.answered, figures.answered_bytes, strict=True):
                if name not in _GOOD and count:
                    refused[name] = refused.get(name, 0) + count
                    refused_bytes[name] = refused_bytes.get(name, 0) + size
            if sum(figures.duration):
                one = histogram(figures.duration, 1e-6, figures.duration_sum_ns / 1e9)
                durations[METHODS[signal]] = joined(durations.get(METHODS[signal]), one)
            if sum(figures.batch_size):
                sizes = sizes_of(figures.batch_size, figures.batch_items)
                batches = joined(batches if batches.bounds else None, sizes)
    return Figures(
        requests=tuple(
            RequestCount(signal=SIGNALS[number], service=service, requests=count)
            for (number, service), count in sorted(requests.items())
        ),
        errors=tuple(
            ErrorCount(error_type=name, requests=count, bytes=refused_bytes[name])
            for name, count in sorted(refused.items())
        ),
        duration_s=durations,
        batch_items=batches,
        forwarded_late=sum(worker.forwarded_late for worker in workers),
        detoured=sum(worker.detoured for worker in workers),
        over_limit=sum(worker.over_limit for worker in workers),
        fell_back=sum(worker.fell_back for worker in workers),
        split_by_rules=sum(worker.split_by_rules for worker in workers),
        tracestate_bad=sum(worker.tracestate_bad for worker in workers),
        trace_id_missing=sum(worker.trace_id_missing for worker in workers),
        old_field=sum(worker.old_field for worker in workers),
        protocol_errors=sum(worker.protocol_errors for worker in workers),
        accept_errors=sum(worker.accept_errors for worker in workers),
    )


@dataclass(slots=True)
class BackendSum:
    """What all workers say of one backend."""

    up: int = 0
    """The workers that can reach it."""
    connects: int = 0
    calls: int = 0
    in_flight: int = 0
    queued_bytes: int = 0
    retried: int = 0
    rerouted: int = 0
    rejected_items: int = 0
    latency_ns: int = 0
    """The worst of the moving averages."""
    items: Counter[Signal] = field(default_factory=Counter)
    failed_items: Counter[Signal] = field(default_factory=Counter)

    def add(self, row: BackendRow) -> None:
        """Takes what one worker says."""
        self.up += row.up
        self.connects += row.connects
        self.calls += row.calls
        self.in_flight += row.in_flight
        self.queued_bytes += row.queued_bytes
        self.retried += row.retried
        self.rerouted += row.rerouted
        self.rejected_items += row.rejected_items
        self.latency_ns = max(self.latency_ns, row.latency_ns)
        self.items.update(dict(zip(SIGNALS, row.items, strict=True)))
        self.failed_items.update(dict(zip(SIGNALS, row.failed_items, strict=True)))


def backends_of(pages: Iterable[PageReader]) -> dict[int, BackendSum]:
    """The backends of all workers, by key."""
    sums: dict[int, BackendSum] = {}
    for page in pages:
        for row in page.backends():
            sums.setdefault(row.key, BackendSum()).add(row)
    return sums


def histogram(counts: Sequence[int], unit: float, total: float) -> Histogram:
    """Native buckets (k counts what is below 2^k units; the last is open) as a histogram in units of `unit`."""
    return Histogram(tuple(2**k * unit for k in range(len(counts) - 1)), tuple(counts), total)


def sizes_of(counts: Sequence[int], total: float) -> Histogram:
    """The same for whole numbers, where "below 2^k" is "at most 2^k - 1": 512 is counted up to 1023, not up to 512."""
    return Histogram(tuple(2.0**k - 1 for k in range(len(counts) - 1)), tuple(counts), total)


def joined(one: Histogram | None, other: Histogram) -> Histogram:
    """The sum of two histograms of the same bounds."""
    if one is None:
        return other
    counts = tuple(a + b for a, b in zip(one.counts, other.counts, strict=True))
    return Histogram(other.bounds, counts, one.total + other.total)


def quantile(counts: Sequence[int], q: float) -> float:
    """The q-quantile of native buckets, in their unit; linear within a bucket, 0 when nothing was counted."""
    wanted = q * sum(counts)
    seen = 0
    for k, count in enumerate(counts):
        if count and seen + count >= wanted:
            low = (1 << k) >> 1
            return low + ((1 << k) - low) * (wanted - seen) / count
        seen += count
    return 0.0
