"""The OpenTelemetry Collector, and other programs with a log, as processes."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.harness.patience import free_port, listens, until


@contextmanager
def program(command: Sequence[str | Path], port: int, **environment: str) -> Iterator[None]:
    """Runs it until the end of the `with`; inside, it listens on `port`."""
    with tempfile.TemporaryDirectory(prefix="spangate-program-") as folder:
        path = Path(folder) / "log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=os.environ | environment
            )
        try:
            until(lambda: process.poll() is not None or listens(port), f"{command[0]} listens")
            assert process.poll() is None, path.read_text()
            yield
        except BaseException as error:
            error.add_note(f"the log of {command[0]}:\n{path.read_text()[-3000:]}")
            raise
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


BATCH = "batch: {timeout: 20ms}"
"""The batch processor, quicker than by default."""


class Collector:
    """A Collector that listens on `port` and exports to an address, and another one `beside`; all three signals.

    Its exporter has the defaults (gzip, queue, retries), but that retries begin sooner.
    """

    def __init__(
        self,
        binary: Path,
        target: str,
        processor: str = "",
        *,
        beside: str = "",
        pipelines: str = "traces logs metrics",
    ) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._binary, self._processor, self._pipelines = binary, processor, pipelines.split()
        self._targets = {"otlp_grpc": target} | ({"otlp_grpc/beside": beside} if beside else {})

    @contextmanager
    def running(self) -> Iterator[Collector]:
        """Listens inside the `with`; has sent everything on after it."""
        with tempfile.TemporaryDirectory(prefix="spangate-collector-") as folder:
            path = Path(folder) / "config.yaml"
            path.write_text(self._config())
            with program([self._binary, "--config", path], self.port):
                yield self

    def _config(self) -> str:
        processors = self._processor.split(":")[0]
        pipeline = f"{{receivers: [otlp], processors: [{processors}], exporters: [{', '.join(self._targets)}]}}"
        return "\n".join(
            [
                f"receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{self.address}'}}}}}}}}",
                f"processors: {{{self._processor}}}",
                "exporters:",
                *(
                    f"  {name}: {{endpoint: '{address}', tls: {{insecure: true}}, "
                    "retry_on_failure: {initial_interval: 100ms}}"
                    for name, address in self._targets.items()
                ),
                "service:",
                "  telemetry: {metrics: {level: none}, logs: {level: warn}}",
                "  pipelines:",
                *(f"    {name}: {pipeline}" for name in self._pipelines),
            ]
        )
