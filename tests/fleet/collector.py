"""A stock Collector with its metrics on, as it stands beside a gateway."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tests.harness.collector import BATCH, program
from tests.harness.patience import free_port

CONFIG = """\
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:{port}'}}}}}}}}
processors: {{{batch}}}
exporters: {{otlp_grpc: {{endpoint: '{target}', tls: {{insecure: true}}}}}}
service:
  telemetry:
    logs: {{level: error}}
    metrics:
      level: normal
      readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {metrics}}}}}}}}}]
  pipelines: {{traces: {{receivers: [otlp], processors: [batch], exporters: [otlp_grpc]}}}}
"""


class StockCollector:
    """Receives on `port` and exports to an address."""

    def __init__(self, target: str) -> None:
        self.port, self._metrics = free_port(), free_port()
        self._target = target

    @property
    def settings(self) -> Mapping[str, object]:
        """What a gateway has to know to read its load."""
        return {"collector.metrics_url": f"http://127.0.0.1:{self._metrics}/metrics"}

    @contextmanager
    def running(self, binary: Path) -> Iterator[Self]:
        """Inside the `with`; has sent everything on after it."""
        with tempfile.TemporaryDirectory(prefix="spangate-collector-") as folder:
            path = Path(folder) / "config.yaml"
            path.write_text(CONFIG.format(port=self.port, metrics=self._metrics, target=self._target, batch=BATCH))
            with program([binary, "--config", path], self.port):
                yield self
