"""The whole demo, as the program that people start."""

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from sidecar.cli.admin import ask
from sidecar.errors import Exit
from sidecar.model import Endpoint
from sidecar.snapshot import GatewayStatus

pytestmark = pytest.mark.process

DEMO = (sys.executable, "-m", "sidecar.cli", "demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")


def counted(name: str, out: str) -> int:
    """The number behind a name at the beginning of a line, the last one there is."""
    found = re.findall(rf"^ *{name} +([\d,]+)", out, re.MULTILINE)
    return int(found[-1].replace(",", ""))


def agree(out: str) -> None:
    """What the program printed at the end says that everybody has counted the same."""
    received = counted("received", out)
    assert received > 0
    assert counted("forwarded", out) + counted("sampled out", out) == received
    assert counted("SDK acknowledged", out) == received
    assert counted("backends decoded", out) == counted("ledger forwarded", out) == counted("forwarded", out)
    assert counted("difference", out) == 0
    assert re.search(r"distinct, 0 came twice, 0 of [\d,]+ traces split", out)


def test_it_ends_by_itself_with_books_that_agree() -> None:
    done = subprocess.run([*DEMO, "--seconds", "2"], capture_output=True, text=True, check=False, timeout=50)
    assert (done.returncode, done.stderr) == (Exit.OK, "")
    assert re.match(r"the gateway serves 127\.0\.0\.1:\d+, its admin http://127\.0\.0\.1:\d+/\n", done.stdout)
    assert len(re.findall(r"^ +\d s  [\d,]+ spans/s, ", done.stdout, re.MULTILINE)) == 2
    assert "sampled out      0\n" in done.stdout
    agree(done.stdout)


def test_sampling_and_options_of_the_gateway() -> None:
    done = subprocess.run(
        [*DEMO, "--seconds", "2", "--rate", "1000", "--sampling-rate", "0.25", "--", "--workers", "2"],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (Exit.OK, "")
    assert 0 < counted("forwarded", done.stdout) < counted("sampled out", done.stdout)
    agree(done.stdout)


def test_ctrl_c_ends_the_live_view_with_the_final_ledger() -> None:
    ours, theirs = pty.openpty()
    demo = subprocess.Popen(
        DEMO, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env={**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    )
    os.close(theirs)
    shown, deadline_s = "", time.monotonic() + 40
    try:
        while time.monotonic() < deadline_s:
            try:
                shown += os.read(ours, 65536).decode(errors="replace")
            except OSError:  # the other side has closed it
                break
            if demo.poll() is None and shown.count("counted outside") == 3:
                demo.send_signal(signal.SIGINT)
                shown += "counted outside "  # once is enough
        assert demo.wait(20) == Exit.OK
    finally:
        demo.kill()
        os.close(ours)
        assert demo.stderr
        errors = demo.stderr.read()
        demo.stderr.close()
    assert errors == b""
    assert "Ctrl-C drains and ends" in shown
    agree(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", ""))


@pytest.mark.parametrize("option", ["--listen", "--admin"])
def test_a_port_that_is_taken_is_one_clear_line(option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = f"127.0.0.1:{holder.getsockname()[1]}"
        done = subprocess.run([*DEMO, option, taken], capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == Exit.PORT_TAKEN
    assert done.stderr.startswith(f"error: cannot listen on {taken}: address already in use\nhint: ")
    assert (len(done.stderr.splitlines()), done.stdout) == (2, "")


def test_a_gateway_that_dies_is_told_and_leaves_nobody_behind() -> None:
    demo = subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert demo.stdout
    try:
        address = demo.stdout.readline().rpartition("http://")[2].strip(" /\n")
        worker = psutil.Process(ask(Endpoint.parse(address), "/status", GatewayStatus).workers[0].pid)
        psutil.Process(worker.ppid()).kill()
        assert demo.wait(20) == Exit.DEMO
        assert demo.communicate()[1] == "error: the gateway ended with -9\n"
        psutil.wait_procs([worker], timeout=5)
        assert not worker.is_running()
    finally:
        demo.kill()
        demo.communicate()
