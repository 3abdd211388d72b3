"""The load of a stock OpenTelemetry Collector, from the metrics that it shows of itself.

    otelcol_receiver_{accepted,refused}_spans                    what comes in
    otelcol_exporter_{sent,send_failed,enqueue_failed}_spans     what goes out
    otelcol_exporter_queue_{size,capacity}                       in batches, or whatever it was told to count
    otelcol_process_{cpu_seconds,memory_rss}

Some versions and settings add the suffixes of Prometheus (`_total`, `_bytes`), some do not: both are known. Rates are
taken from each series before they are added up: a series that begins anew, or is no longer there, must not look like
traffic.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from sidecar.errors import GrpcStatus, SpangateError
from sidecar.load.ewma import Ewma
from sidecar.load.probe import Machine
from sidecar.snapshot import Load

TAU_S = 10.0
"""Of the moving averages."""
_WANTED = re.compile(
    r"otelcol_(receiver_accepted_spans|receiver_refused_spans"
    r"|exporter_sent_spans|exporter_send_failed_spans|exporter_enqueue_failed_spans"
    r"|exporter_queue_size|exporter_queue_capacity|process_cpu_seconds|process_memory_rss)(?:_bytes)?(?:_total)?"
)
_COUNTED = ("receiver_accepted_spans", "receiver_refused_spans", "exporter_sent_spans")
_FAILED = ("exporter_send_failed_spans", "exporter_enqueue_failed_spans")

Labels = frozenset[tuple[str, str]]


class MetricsUnreadable(SpangateError):
    """What was answered are no metrics of a Collector."""

    grpc_status = GrpcStatus.UNAVAILABLE
    retryable = True


class Scrape(NamedTuple):
    """The metrics at one moment: by name without prefix and suffixes, then by labels."""

    at_s: float
    series: Mapping[str, Mapping[Labels, float]]

    @classmethod
    def read(cls, page: bytes, at_s: float) -> Scrape:
        """From Prometheus text. MetricsUnreadable when it is none, or has nothing of a Collector."""
        series: dict[str, dict[Labels, float]] = {}
        try:
            lines = [line for line in page.decode().splitlines() if _WANTED.match(line)]
            for family in text_string_to_metric_families("\n".join(lines) + "\n"):
                for sample in family.samples:
                    wanted = _WANTED.fullmatch(sample.name)
                    if wanted and math.isfinite(sample.value) and sample.value >= 0:
                        series.setdefault(wanted[1], {})[frozenset(sample.labels.items())] = sample.value
        except (ValueError, LookupError) as error:
            raise MetricsUnreadable(f"no Prometheus text: {error}") from None
        if not series:
            raise MetricsUnreadable("nothing in it begins with otelcol_: no metrics of a Collector")
        return cls(at_s, series)

    def total(self, name: str) -> float:
        """The sum over all series of a name."""
        return math.fsum(self.series.get(name, {}).values())

    def queue(self) -> float:
        """Fill of the fullest queue, 0 to 1; 0 without queues."""
        capacities = self.series.get("exporter_queue_capacity", {})
        sizes = self.series.get("exporter_queue_size", {})
        return max((size / capacities[of] for of, size in sizes.items() if capacities.get(of)), default=0.0)


class CollectorMeter:
    """Turns scrapes into load. CPU and memory are told over what it may use: `machine`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._last: Scrape | None = None
        self._means = {name: Ewma(TAU_S) for name in (*_COUNTED, "failed", "process_cpu_seconds")}

    def add(self, scrape: Scrape) -> None:
        """Takes a scrape; the second one is the first that tells rates."""
        last = self._last
        if last is not None and scrape.at_s <= last.at_s:
            return
        self._last = scrape
        if last is None:
            return
        elapsed_s = scrape.at_s - last.at_s
        for name in (*_COUNTED, "process_cpu_seconds"):
            self._means[name].add(_increase(last, scrape, name) / elapsed_s, elapsed_s)
        failed = sum(_increase(last, scrape, name) for name in _FAILED)
        self._means["failed"].add(failed / elapsed_s, elapsed_s)

    def load(self) -> Load:
        """As it was at the last scrape, the rates over the last seconds before."""
        if self._last is None:
            return Load()
        accepted, refused, sent = (self._means[name].value for name in _COUNTED)
        failed = self._means["failed"].value
        through = (1 - _share(refused, accepted)) * (1 - _share(failed, sent))
        return Load(
            cpu=self._means["process_cpu_seconds"].value / self._machine.cpus,
            memory=self._last.total("process_memory_rss") / self._machine.memory_bytes,
            queue=self._last.queue(),
            qps=accepted + refused,
            error_rate=1 - through,
        )


def _increase(before: Scrape, now: Scrape, name: str) -> float:
    """What a counter has grown by, all series together. One that has gone back, or is new, began at 0."""
    old = before.series.get(name, {})
    return math.fsum(
        value - old[of] if old.get(of, math.inf) <= value else value for of, value in now.series.get(name, {}).items()
    )


def _share(bad: float, good: float) -> float:
    """Of what there was, what was bad."""
    return bad / (bad + good) if bad > 0 else 0.0
