import subprocess
from pathlib import Path

import pytest

from sidecar.model import Signal
from tests.interop.lane import Lane

pytestmark = pytest.mark.process

COUNTS = {
    Signal.TRACES: ("--traces", "--child-spans", "3", "--status-code", "Error"),
    Signal.LOGS: ("--logs", "--trace-id", "0102030405060708090a0b0c0d0e0f10"),
    Signal.METRICS: ("--metrics", "--metric-type", "Sum"),
}


@pytest.mark.parametrize("signal", COUNTS, ids=str)
def test_telemetrygen(lane: Lane, signal: Signal, telemetrygen_binary: Path) -> None:
    count, *more = COUNTS[signal]
    command = [str(telemetrygen_binary), str(signal), "--otlp-insecure", "--otlp-endpoint", lane.address, "--rate", "0"]
    command += ["--workers", "2", count, "25", "--telemetry-attributes", 'k="v"', "--service", "generated", *more]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    found = lane.settle(signal, at_least=50)
    assert found.total() == (200 if signal is Signal.TRACES else 50)
