"""Pages of workers that say what a test wants them to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from sidecar._native.ledger import (
    ANSWERED,
    DROPPED,
    BackendRow,
    LedgerRow,
    PageReader,
    ServiceRow,
    SignalRow,
    WorkerRow,
)
from sidecar.model import Signal

SIGNALS = list(Signal)
BUCKETS = 28
SIZES = 24


@dataclass
class Page:
    """Stands for a PageReader."""

    ledger: list[LedgerRow] = field(default_factory=list)
    figures: dict[Signal, SignalRow] = field(default_factory=dict)
    peers: list[BackendRow] = field(default_factory=list)
    services: list[ServiceRow] = field(default_factory=list)
    oddities: dict[str, int] = field(default_factory=dict)

    def rows(self) -> list[LedgerRow]:
        return self.ledger

    def spans(self) -> list[ServiceRow]:
        return self.services

    def signals(self) -> list[SignalRow]:
        return [self.figures.get(signal, signal_row()) for signal in SIGNALS]

    def backends(self) -> list[BackendRow]:
        return self.peers

    def worker(self) -> WorkerRow:
        return WorkerRow(*[0] * len(WorkerRow._fields))._replace(**self.oddities)


def read(*pages: Page) -> Sequence[PageReader]:
    """The pages, as they are passed around."""
    return cast("list[PageReader]", [*pages])


def ledger_row(
    signal: Signal,
    service: str = "shop",
    *,
    dropped: dict[str, int] | None = None,
    **counts: int,
) -> LedgerRow:
    """A row that adds up: what is not told is in flight. All that is sampled out is so by rate."""
    drops = tuple((dropped or {}).get(reason, 0) for reason in DROPPED)
    forwarded, sampled_out, rejected = (counts.get(name, 0) for name in ("forwarded", "sampled_out", "rejected"))
    received = counts.get("received", 0)
    return LedgerRow(
        signal=SIGNALS.index(signal),
        service=service,
        received=received,
        in_flight=received - forwarded - sampled_out - rejected - sum(drops),
        forwarded=forwarded,
        sampled_out=sampled_out,
        rejected=rejected,
        requests=counts.get("requests", 0),
        dropped=drops,
        causes=(sampled_out, 0, 0, 0),
    )


def signal_row(
    *,
    requests: int = 0,
    body_bytes: int = 0,
    answered: dict[str, int] | None = None,
    took_us: Sequence[int] = (),
    batches: Sequence[int] = (),
) -> SignalRow:
    """The figures of a signal, from single durations and batch sizes."""
    return SignalRow(
        requests=requests,
        answered=tuple((answered or {}).get(name, 0) for name in ANSWERED),
        answered_bytes=tuple(body_bytes if name == "ok" else 0 for name in ANSWERED),
        duration_sum_ns=sum(took_us) * 1000,
        duration=bucketed(took_us, BUCKETS),
        batches=len(batches),
        batch_items=sum(batches),
        batch_size=bucketed(batches, SIZES),
    )


def backend_row(key: int, *, up: bool = True, items: int = 0, took_us: Sequence[int] = (), **counts: int) -> BackendRow:
    """What a worker says of a backend; items are spans."""
    names = ("connects", "calls", "failed_calls", "rejected_items", "sent_bytes", "retried", "rerouted")
    more = ("queued_bytes", "in_flight", "latency_ns")
    return BackendRow(
        key=key,
        up=up,
        items=(items, 0, 0, 0),
        failed_items=(counts.get("failed_items", 0), 0, 0, 0),
        latency=bucketed(took_us, BUCKETS),
        **{name: counts.get(name, 0) for name in (*names, *more)},
    )


def bucketed(values: Sequence[int], buckets: int) -> tuple[int, ...]:
    """Bucket k counts what is below 2^k, the last one all the rest: what `bucket_of` of native/_ledger.pxd does."""
    counts = [0] * buckets
    for value in values:
        counts[next((k for k in range(buckets) if value < 1 << k), buckets - 1)] += 1
    return tuple(counts)
