import base64
import http.client
import json
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sidecar.model import Signal
from tests.harness.collector import program
from tests.harness.patience import free_port, until
from tests.interop.lane import Lane

pytestmark = pytest.mark.process


def put(port: int, n: int) -> None:
    """Stores n keys."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        for i in range(n):
            pair = {"key": base64.b64encode(f"key-{i}".encode()).decode(), "value": "dmFsdWU="}
            connection.request("POST", "/v3/kv/put", json.dumps(pair))
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()


def traces_itself(binary: Path) -> bool:
    """From 3.6 on; older ones have it as an experiment, under another name."""
    told = subprocess.run([binary, "--help"], capture_output=True, text=True, check=False, timeout=20)
    return "--enable-distributed-tracing" in told.stdout + told.stderr


def test_the_spans_of_etcd_itself(lane: Lane, etcd_binary: Path, tmp_path: Path) -> None:
    if not traces_itself(etcd_binary):
        pytest.skip(f"{etcd_binary} is older than 3.6")
    port, peers = free_port(), f"http://127.0.0.1:{free_port()}"
    command = [str(etcd_binary), "--data-dir", str(tmp_path / "data"), "--initial-cluster", f"default={peers}"]
    for clients in ("--listen-client-urls", "--advertise-client-urls"):
        command += [clients, f"http://127.0.0.1:{port}"]
    for members in ("--listen-peer-urls", "--initial-advertise-peer-urls"):
        command += [members, peers]
    command += ["--enable-distributed-tracing", "--distributed-tracing-address", lane.address]
    command += ["--distributed-tracing-sampling-rate", "1000000", "--distributed-tracing-service-name", "store"]
    with program(command, port, OTEL_BSP_SCHEDULE_DELAY="50"):
        put(port, 30)
        until(lambda: lane.received(Signal.TRACES) >= 30, "etcd exports")
    lane.settle(Signal.TRACES, at_least=30)
    bodies = [body for sink in lane.sinks for body in sink.bodies()]
    resources = [r.resource for body in bodies for r in ExportTraceServiceRequest.FromString(body).resource_spans]
    services = {a.value.string_value for r in resources for a in r.attributes if a.key == "service.name"}
    assert services == {"store"}
