"""Sums over the pages of all workers: what the gateway as a whole has counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import starmap
from typing import Final

from sidecar._native.ledger import ANSWERED, DROPPED, PageReader
from sidecar.model import Signal
from sidecar.snapshot import ErrorCount, Figures, Histogram, LedgerRow, LedgerSnapshot, RequestCount

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
        for signal, service, received, in_flight, forwarded, sampled_out, rejected, _, dropped in page.rows():
            row = sums.setdefault((signal, service), [0] * (5 + len(DROPPED)))
            for i, value in enumerate((received, in_flight, forwarded, sampled_out, rejected, *dropped)):
                row[i] += value
    return LedgerSnapshot(tuple(starmap(_row, sorted(sums.items()))))


def _row(key: tuple[int, str], sums: list[int]) -> LedgerRow:
    received, in_flight, forwarded, sampled_out, rejected, *dropped = sums
    return LedgerRow(
        signal=SIGNALS[key[0]],
        service=key[1],
        received=received,
        forwarded=forwarded,
        sampled_out=sampled_out,
        rejected=rejected,
        dropped={reason: count for reason, count in zip(DROPPED, dropped, strict=True) if count},
        in_flight=in_flight,
    )


def figures_of(pages: Sequence[PageReader]) -> Figures:
    """Requests, refusals, durations and batch sizes of all workers."""
    requests: dict[tuple[int, str], int] = {}
    refused: dict[str, int] = {}
    durations: dict[str, Histogram] = {}
    batches = Histogram((), (0,), 0.0)
    for page in pages:
        for signal, service, *_, count, _dropped in page.rows():
            requests[signal, service] = requests.get((signal, service), 0) + count
        for signal, (_, _, answered, took_ns, took, _, items, sizes) in zip(SIGNALS, page.signals(), strict=True):
            for name, count in zip(ANSWERED, answered, strict=True):
                if name not in _GOOD and count:
                    refused[name] = refused.get(name, 0) + count
            if sum(took):
                one = histogram(took, 1e-6, took_ns / 1e9)
                durations[METHODS[signal]] = joined(durations.get(METHODS[signal]), one)
            if sum(sizes):
                batches = joined(batches if batches.bounds else None, histogram(sizes, 1.0, items))
    return Figures(
        requests=tuple(
            RequestCount(signal=SIGNALS[signal], service=service, requests=count)
            for (signal, service), count in sorted(requests.items())
        ),
        errors=tuple(ErrorCount(error_type=name, requests=count) for name, count in sorted(refused.items())),
        duration_s=durations,
        batch_items=batches,
    )


def histogram(counts: Sequence[int], unit: float, total: float) -> Histogram:
    """Native buckets (k counts what is below 2^k units; the last is open) as a histogram in units of `unit`."""
    return Histogram(tuple(2**k * unit for k in range(len(counts) - 1)), tuple(counts), total)


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
            low = 2 ** (k - 1) if k else 0
            return low + (2**k - low) * (wanted - seen) / count
        seen += count
    return 0.0
