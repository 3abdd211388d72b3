"""A stock Collector, watched by its own metrics while spans flow through it."""

from __future__ import annotations

import asyncio
import random
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from sidecar.clock import SystemClock
from sidecar.config.schema import CollectorConfig
from sidecar.errors import GrpcStatus
from sidecar.load.checks import Subject, standard
from sidecar.load.collector import METRICS_LIMIT_BYTES, CollectorWatch
from sidecar.load.otelcol import Scrape
from sidecar.load.page import Url, fetch
from sidecar.load.verdict import GOOD, judged
from sidecar.model import Endpoint, Health
from sidecar.snapshot import Load
from tests.harness import otlp
from tests.harness.clients import Client
from tests.harness.collector import program
from tests.harness.patience import LIMIT_S, free_port
from tests.harness.sink import Sink
from tests.load.patience import until
from tests.load.server import nowhere

pytestmark = pytest.mark.process


class Watched:
    """A Collector that shows its metrics, and its watch."""

    def __init__(self, target: str) -> None:
        self.endpoint = Endpoint("127.0.0.1", free_port())
        self.metrics = Endpoint("127.0.0.1", free_port())
        self.url = f"http://{self.metrics}/metrics"
        self._target = target
        config = CollectorConfig(endpoint=self.endpoint, metrics_url=self.url, check_every_s=0.2, rise=1, fall=1)
        self.watch = CollectorWatch(config, SystemClock(), random.Random(1))

    @contextmanager
    def running(self, binary: Path) -> Iterator[None]:
        with tempfile.TemporaryDirectory(prefix="spangate-collector-") as folder:
            path = Path(folder) / "config.yaml"
            path.write_text(self._config())
            with program([binary, "--config", path], self.endpoint.port):
                yield

    def _config(self) -> str:
        reader = f"{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: {self.metrics.port}}}}}}}}}"
        return f"""\
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{self.endpoint}'}}}}}}}}
exporters:
  otlp_grpc:
    endpoint: '{self._target}'
    tls: {{insecure: true}}
    sending_queue: {{queue_size: 20, num_consumers: 1}}
service:
  telemetry: {{metrics: {{level: normal, readers: [{reader}]}}, logs: {{level: error}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [otlp_grpc]}}}}
"""

    async def until(self, holds: Callable[[Load], object], what: str) -> None:
        """Once the load is so."""
        await until(lambda: holds(self.watch.state.load), what)


@asynccontextmanager
async def flowing(address: Endpoint) -> AsyncIterator[list[int]]:
    """Spans flow, 20 a request, until the end of the `with`; what was accepted is in the answer, once it has ended."""
    end, accepted = threading.Event(), [0]

    def flow() -> None:
        with Client(str(address)) as client:
            while not end.wait(0.01):
                accepted[0] += 20 * (client.export(otlp.spans(20)).status is GrpcStatus.OK)

    thread = threading.Thread(target=flow)
    thread.start()
    try:
        yield accepted
    finally:
        end.set()
        await asyncio.to_thread(thread.join)


async def test_its_load_is_read_from_its_own_metrics(otelcol_binary: Path) -> None:
    with Sink() as sink:
        watched = Watched(sink.address)
        with watched.running(otelcol_binary):
            await watched.watch.start()
            async with flowing(watched.endpoint) as accepted:
                await watched.until(lambda load: load.qps and load.cpu and load.memory, "it is seen to work")
            page = await fetch(Url.parse(watched.url), METRICS_LIMIT_BYTES)
            assert Scrape.read(page.body, 0.0).total("receiver_accepted_spans") == accepted[0], "to the span"
            state = watched.watch.state
            assert (state.health, state.reason, state.problem) == (Health.HEALTHY, "", "")
            assert 0 < state.load.memory < 1
            assert (state.load.error_rate, state.load.queue < 1) == (0, True)
        await watched.until(lambda _: watched.watch.state.health is Health.UNHEALTHY, "it has ended")
        assert watched.watch.state.problem == "Connection refused"
        await watched.watch.stop()


async def test_its_queue_is_seen_to_fill_and_its_refusals(otelcol_binary: Path) -> None:
    """Nobody is behind it: twenty batches wait, and then it refuses."""
    watched = Watched(str(nowhere()))
    with watched.running(otelcol_binary):
        await watched.watch.start()
        async with flowing(watched.endpoint):
            await watched.until(lambda load: load.queue > 0.9 and load.error_rate > 0, "it is full")
        await watched.watch.stop()


async def test_it_has_no_grpc_health_and_is_reachable(otelcol_binary: Path) -> None:
    watched = Watched(str(nowhere()))
    with watched.running(otelcol_binary):
        for name in ("grpc", "tcp", watched.url):
            assert await judged(standard().make(name, Subject(watched.endpoint, Load, LIMIT_S))) == GOOD
