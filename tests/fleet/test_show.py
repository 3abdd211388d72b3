"""`make fleet` from beginning to end: everything that it shows happens, and Ctrl-C leaves the books closed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet.acts import ACTS
from tests.harness.patience import until

pytestmark = pytest.mark.process

END_S = 40.0


@pytest.mark.usefixtures("etcd_binary")
def test_the_whole_show(tmp_path: Path) -> None:
    path = tmp_path / "shown"
    with path.open("wb") as shown:
        command = [sys.executable, "-m", "tests.fleet", "--act", "0.5"]
        show = subprocess.Popen(command, stdout=shown, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            last = f"-- {ACTS[-1].words}".encode()
            until(lambda: show.poll() is not None or last in path.read_bytes(), "all acts are played", END_S)
            show.send_signal(signal.SIGINT)
            assert show.wait(END_S) == 0, path.read_text()
        finally:
            show.terminate()  # it takes all others along
            show.wait(END_S)
    told = path.read_text()
    assert all(act.words in told for act in ACTS)
    assert "the books do not agree" not in told
    *counts, difference = told.partition("\nspans ")[2].split("\n")[0].split()
    assert len(counts) == 6
    assert difference == "0"
