"""The metrics as Prometheus scrapes them: the table, rendered from the gateway as it is at that moment."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from sidecar.ports import Snapshot
from sidecar.snapshot import Histogram
from sidecar.telemetry.fleet_table import FLEET_TABLE
from sidecar.telemetry.table import TABLE, View

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Of what `render` returns."""

METRICS = (*TABLE, *FLEET_TABLE)
"""All of them, in the order in which they are scraped."""


class GatewayCollector(Collector):
    """Renders the table from the gateway as it is at the scrape; nothing is counted here."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        view = View(self._snapshot.ledger(), self._snapshot.status(), self._snapshot.figures())
        for row in METRICS:
            metric = Metric(row.name.removesuffix("_total"), row.help, row.type)
            for values, value in row.read(view):
                labels = dict(zip(row.labels, values, strict=True))
                if isinstance(value, Histogram):
                    _add_histogram(metric, labels, value)
                else:
                    metric.add_sample(row.name, labels, value)
            yield metric


def render(snapshot: Snapshot) -> bytes:
    """A scrape, in the text format of Prometheus."""
    return generate_latest(GatewayCollector(snapshot))


def _add_histogram(metric: Metric, labels: dict[str, str], spread: Histogram) -> None:
    for bound, count in spread.cumulative():
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": bound}, count)
    metric.add_sample(f"{metric.name}_count", labels, sum(spread.counts))
    metric.add_sample(f"{metric.name}_sum", labels, spread.total)
