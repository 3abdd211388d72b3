"""Each part starts, and does what the tests will want of it."""

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

COLLECTOR_YAML = """
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:{port}'}}}}}}
  otlp/away: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}}}}}
processors:
  memory_limiter: {{check_interval: 1s, limit_mib: 512}}
  batch: {{timeout: 50ms}}
  probabilistic_sampler: {{sampling_percentage: 100}}
  tail_sampling: {{decision_wait: 100ms, policies: [{{name: all, type: always_sample}}]}}
exporters:
  debug: {{verbosity: basic}}
  nop: {{}}
  otlp_grpc: {{endpoint: '127.0.0.1:{away}', tls: {{insecure: true}}, sending_queue: {{enabled: false}}}}
  otlp_http: {{endpoint: 'http://127.0.0.1:{away}'}}
  load_balancing:
    protocol: {{otlp: {{tls: {{insecure: true}}}}}}
    resolver: {{static: {{hostnames: ['127.0.0.1:{away}']}}}}
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: info}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [memory_limiter, probabilistic_sampler, batch], exporters: [debug, nop]}}
    traces/away:  # starts what is not used above
      {{receivers: [otlp/away], processors: [tail_sampling], exporters: [load_balancing, otlp_grpc, otlp_http]}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, cwd=log.parent) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def eventually(holds: Callable[[], bool], log: Path, limit_s: float = 30.0) -> None:
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_telemetrygen_tells_its_use(telemetrygen_binary: Path) -> None:
    done = subprocess.run([telemetrygen_binary, "--help"], capture_output=True, text=True, check=True, timeout=20)
    assert "traces" in done.stdout


def test_otelcol_receives_what_telemetrygen_sends(
    otelcol_binary: Path, telemetrygen_binary: Path, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "otelcol.log"
    config = tmp_path / "otelcol.yaml"
    config.write_text(COLLECTOR_YAML.format(port=port, away=free_port()))
    with running([str(otelcol_binary), "--config", str(config)], log):
        eventually(lambda: listens(port), log)
        command = [str(telemetrygen_binary), "traces", "--otlp-insecure", "--otlp-endpoint", f"127.0.0.1:{port}"]
        subprocess.run([*command, "--traces", "5", "--rate", "0"], check=True, capture_output=True, timeout=20)
        eventually(lambda: '"spans": 10' in log.read_text(), log)  # two spans a trace


def test_etcd_is_healthy(etcd_binary: Path, tmp_path: Path) -> None:
    client, peer, log = free_port(), free_port(), tmp_path / "etcd.log"
    clients, peers = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    command = [str(etcd_binary), "--data-dir", str(tmp_path / "data")]
    command += ["--listen-client-urls", clients, "--advertise-client-urls", clients]
    command += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
    command += ["--initial-cluster", f"default={peers}"]

    def healthy() -> bool:
        with suppress(OSError), closing(http.client.HTTPConnection("127.0.0.1", client, timeout=2)) as connection:
            connection.request("GET", "/health")
            told: dict[str, str] = json.load(connection.getresponse())
            return told["health"] == "true"
        return False

    with running(command, log):
        eventually(healthy, log)
