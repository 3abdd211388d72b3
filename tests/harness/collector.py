"""The OpenTelemetry Collector, and other programs with a log, as processes."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.harness.patience import free_port, listens, until



@contextmanager
def program(command: Sequence[str | Path], port: int) -> Iterator[None]:
    """Runs it until the end of the `with`; inside, it listens on `port`."""
    with tempfile.TemporaryDirectory(prefix="spangate-program-") as folder:
        path = Path(folder) / "log"
        with path.open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
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


class Collector:
    """A Collector that listens on `port` and exports to one address, all three signals.

    Its exporter has the defaults (gzip, queue, retries), but that retries begin sooner.
    """

    def __init__(self, binary: Path, target: str, processors: str = "", *, pipelines: str = "traces logs metrics") -> None:
        self.port = free_port()
        self._binary, self._target, self._processors, self._pipelines = binary, target, processors, pipelines

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[Collector]:
        """Listens inside the `with`; has sent everything on after it."""
        with tempfile.TemporaryDirectory(prefix="spangate-collector-") as folder:
            path = Path(folder) / "config.yaml"
            path.write_text(self._config())
            with program([self._binary, "--config", path], self.port):
                yield self

    def _config(self) -> str:
        names = ", ".join(line.split(":")[0].strip() for line in self._processors.splitlines() if line.strip())
        pipeline = f"{{receivers: [otlp], processors: [{names}], exporters: [otlp_grpc]}}"
        lines = [
            f"receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{self.address}'}}}}}}}}",
            *(["processors:", *(f"  {line.strip()}" for line in self._processors.splitlines() if line.strip())]),
            "exporters:",
            f"  otlp_grpc: {{endpoint: '{self._target}', tls: {{insecure: true}},",
            "    retry_on_failure: {initial_interval: 100ms}}",
            "service:",
            "  telemetry: {metrics: {level: none}, logs: {level: warn}}",
            "  pipelines:",
            *(f"    {name}: {pipeline}" for name in self._pipelines.split()),
        ]
        return "\n".join(line for line in lines if line != "processors:" or names)


def batches() -> str:
    """The batch processor, quick."""
    return "batch: {timeout: 20ms}"
