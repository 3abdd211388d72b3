"""A gateway whose state folder cannot be written, as in a container with a read-only root."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sidecar.errors import Exit, GrpcStatus
from sidecar.model import Signal
from tests.faults.books import settle
from tests.harness import otlp
from tests.harness.clients import Client
from tests.harness.gateway import SPANGATE, Gateway
from tests.harness.patience import LIMIT_S
from tests.harness.sink import Sink

pytestmark = pytest.mark.process

NOWHERE = "/sys/spangate"
"""Where not even root can make a folder."""


def test_it_runs_and_says_that_nothing_is_kept(tmp_path: Path) -> None:
    """One warning, a metric, a line of the status. Its socket is found elsewhere; what would get lost is refused."""
    places = {"XDG_RUNTIME_DIR": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    environment = {"SPANGATE_COORDINATION_STATE_DIR": NOWHERE, **places}

    def said(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(SPANGATE), *arguments]
        text = "global: {sampling_rate: 0.5}\n"
        env = {name: value for name, value in os.environ.items() if not name.startswith("SPANGATE_")} | places
        return subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, timeout=LIMIT_S, env=env
        )

    with Sink() as sink, Gateway([sink.port], environment=environment) as gateway, Client(gateway.address) as client:
        (warning,) = [line for line in gateway.log_text().splitlines() if "nothing is kept on disk" in line]
        assert NOWHERE in warning
        assert gateway.metric("spangate_state_kept") == 0
        status = said("status", "--admin", f"127.0.0.1:{gateway.admin}")
        assert "nothing is kept on disk: " in status.stdout
        refused = said("config", "apply", "-")
        assert (refused.returncode, refused.stdout) == (Exit.PATH_UNWRITABLE, ""), refused
        assert NOWHERE in refused.stderr
        assert "coordination.state_dir" in refused.stderr
        assert client.export(otlp.spans(3)).status is GrpcStatus.OK
        settle(gateway)
        assert gateway.stop()[Signal.TRACES].forwarded == 3
        assert "Traceback" not in gateway.log_text()
        assert not gateway.events("the last good configuration is not kept"), "once is enough"
