import io
import json
import socket
import time
from typing import NoReturn

import msgspec
import pytest
from rich.console import Console

from sidecar.cli import admin as asking
from sidecar.cli import ended, status
from sidecar.errors import Exit, GatewayUnreachable
from sidecar.model import Endpoint, Signal
from sidecar.snapshot import LedgerRow, LedgerSnapshot
from tests.admin.fake_gateway import STATUS, FakeGateway
from tests.cli.command_line import spangate


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_one_look(capsys: pytest.CaptureFixture[str], admin: Endpoint) -> None:
    look = spangate(capsys, "status", "--once", "--admin", str(admin))
    assert (look.code, look.err) == (Exit.OK, "")
    lines = [line.split() for line in look.out.splitlines()]
    assert look.out.startswith("spangate 0.1.0  ready  up 1h 02m  holds 3.0 MiB of 512.0 MiB\n")
    assert ["traces", "107", "67", "20", "5", "5", "10", "0"] in lines
    assert ["logs", "4", "0", "0", "0", "0", "4", "0"] in lines
    assert ["●", "blue", "████░░", "75.0%", "1.0", "MiB", "2", "0.50", "2.00", "61", "0"] in lines
    assert ["●", "b:4317", "down", "refused", "0.0", "MiB", "0", "0.00", "0.00", "0", "5"] in lines
    assert "traces dropped: client_gone 3, worker_crash 2\n" in look.out


def test_a_gateway_that_is_not_ready_and_a_ledger_that_is_wrong(
    capsys: pytest.CaptureFixture[str], admin: Endpoint, gateway: FakeGateway
) -> None:
    gateway.now = msgspec.structs.replace(STATUS, ready=False, reason="draining")
    gateway.book = LedgerSnapshot((LedgerRow(signal=Signal.TRACES, service="a", received=3),))
    out = spangate(capsys, "status", "--once", "--admin", str(admin)).out
    assert "not ready: draining" in out
    assert ["traces", "3", "0", "0", "0", "0", "0", "3"] in [line.split() for line in out.splitlines()]


def test_it_fits_a_terminal_of_80_columns(capsys: pytest.CaptureFixture[str], admin: Endpoint) -> None:
    out = spangate(capsys, "status", "--once", "--admin", str(admin)).out
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("columns", [80, 200])
def test_large_counts_do_not_push_the_difference_out(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    admin: Endpoint,
    gateway: FakeGateway,
    columns: int,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    row = LedgerRow(signal=Signal.PROFILES, service="a", received=987_654_321, forwarded=876_543_210)
    gateway.book = LedgerSnapshot((msgspec.structs.replace(row, sampled_out=111_111_000, in_flight=111),))
    out = spangate(capsys, "status", "--once", "--admin", str(admin)).out
    lines = [line.split() for line in out.splitlines()]
    assert ["ledger", "received", "forwarded", "sampled", "out", "rejected", "dropped", "in", "flight", "diff"] in lines
    exact = ["profiles", "987,654,321", "876,543,210", "111,111,000", "0", "0", "111", "0"]
    short = ["profiles", "987.7M", "876.5M", "111.1M", "0", "0", "111", "0"]
    assert (short if columns == 80 else exact) in lines


def test_it_watches_until_ctrl_c_and_waits_for_a_gateway_that_has_gone(
    monkeypatch: pytest.MonkeyPatch, admin: Endpoint
) -> None:
    ask, pauses = asking.ask, iter(range(1, 4))

    def sleep(_seconds: float) -> None:
        match next(pauses):
            case 1:
                monkeypatch.setattr(asking, "ask", gone)
            case 2:
                monkeypatch.setattr(asking, "ask", ask)
            case _:
                raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    terminal = Console(force_terminal=True, file=io.StringIO(), width=80)
    monkeypatch.setattr(status, "Console", lambda: terminal)
    assert ended(["status", "--admin", str(admin)]) == Exit.OK
    assert isinstance(terminal.file, io.StringIO)
    shown = terminal.file.getvalue()
    assert shown.count("no gateway answers at 127.0.0.1:1: it has gone") == 1
    assert next(pauses, None) is None, "it went on looking"


def gone(*_given: object) -> NoReturn:
    raise GatewayUnreachable("127.0.0.1:1", "it has gone")


def test_what_is_no_terminal_gets_one_look(capsys: pytest.CaptureFixture[str], admin: Endpoint) -> None:
    assert spangate(capsys, "status", "--admin", str(admin)).code == Exit.OK


def test_json_for_scripts(capsys: pytest.CaptureFixture[str], admin: Endpoint) -> None:
    answer = json.loads(spangate(capsys, "status", "--json", "--admin", f"http://{admin}/").out)
    assert answer["ledger"]["difference"] == 0
    assert answer["status"]["backends"][0]["name"] == "blue"


def test_the_admin_is_where_the_environment_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, admin: Endpoint
) -> None:
    monkeypatch.setenv("SPANGATE_ADMIN_LISTEN", f"0.0.0.0:{admin.port}")
    assert spangate(capsys, "status", "--once").code == Exit.OK


def test_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        free = Endpoint(*holder.getsockname())
    look = spangate(capsys, "status", "--once", "--admin", str(free))
    assert look.code == Exit.UNREACHABLE
    assert look.err.startswith(f"error: no gateway answers at {free}: Connection refused\nhint: ")


def test_somebody_else_does_not_answer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        look = spangate(capsys, "status", "--once", "--admin", str(Endpoint(*silent.getsockname())))
    assert look.code == Exit.UNREACHABLE
    assert "no answer in 0.1 s" in look.err


def test_an_answer_that_no_gateway_gives(capsys: pytest.CaptureFixture[str], admin: Endpoint) -> None:
    with pytest.raises(Exception, match="gives what no gateway of this version does"):
        asking.ask(admin, "/ledger", int)
    with pytest.raises(Exception, match="/nowhere gives 404"):
        asking.ask(admin, "/nowhere", int)
