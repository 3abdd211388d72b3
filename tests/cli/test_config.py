import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.cli.way import SOCKET_VARIABLE
from sidecar.control.records import ConfigState
from sidecar.errors import Exit
from tests.admin.served import Served, served
from tests.cli.command_line import Ended, spangate
from tests.control.fleet_store import LOCAL, announce, rate


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with served(tmp_path / "admin.sock") as gateway:
        monkeypatch.setenv(SOCKET_VARIABLE, str(gateway.path))
        yield gateway


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path, rate(0.1))


def written(folder: Path, text: str, name: str = "fleet.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


Capsys = pytest.CaptureFixture[str]


def apply(capsys: Capsys, file: Path, *more: str) -> Ended:
    return spangate(capsys, "config", "apply", str(file), *more)


def state(applied: int, refused: int = 0, *why: str) -> dict[str, ConfigState]:
    return {"global": ConfigState(applied_version=applied, refused_version=refused, refused=why)}


def test_apply_says_what_became_of_it(capsys: Capsys, gateway: Served, file: Path) -> None:
    ended = apply(capsys, file, "--comment", "first")
    assert ended.code == Exit.OK
    first, second = ended.out.splitlines()
    assert first.startswith("global: version 1 is in force (revision ")
    assert second == "no gateway is registered: it holds for those that come"
    held = gateway.do(gateway.desk.get("global"))
    assert held
    assert (held.blob.body, held.blob.comment) == (rate(0.1), "first")
    assert held.blob.author.endswith(f"@{os.uname().nodename}")
    assert "in force already, nothing has changed" in apply(capsys, file).out


def test_apply_tells_how_many_have_taken_it(capsys: Capsys, gateway: Served, file: Path) -> None:
    gateway.do(announce(gateway.store, "gw-1", "eu", state(1)))
    gateway.do(announce(gateway.store, "gw-2", "us", state(2)))
    ended = apply(capsys, file)
    assert ended.code == Exit.OK
    assert "taken by 2 of 2 gateways in 0." in ended.out


def test_a_gateway_that_refuses_is_an_error(capsys: Capsys, gateway: Served, file: Path) -> None:
    gateway.do(announce(gateway.store, "gw-1", "eu", state(1)))
    gateway.do(announce(gateway.store, "gw-2", "us", state(0, 1, "odd", "too new")))
    ended = apply(capsys, file)
    assert ended.code == Exit.REFUSED
    assert "taken by 1 of 2 gateways" in ended.out
    assert ended.err == "refused by gw-2 (us): odd; too new\n"


def test_a_gateway_that_says_nothing_is_a_warning(capsys: Capsys, gateway: Served, file: Path) -> None:
    gateway.do(announce(gateway.store, "gw-1", "eu"))
    ended = apply(capsys, file, "--wait", "50ms")
    assert ended.code == Exit.OK
    assert "taken by 0 of 1 gateway" in ended.out
    assert ended.err == "warning: nothing yet from gw-1\n"
    assert "taken" not in apply(capsys, file, "--wait", "0").out


def test_every_problem_of_the_file_is_listed(capsys: Capsys, gateway: Served, tmp_path: Path) -> None:
    file = written(tmp_path, "global:\n  sampling_rate: 2\n  sampling_rat: 1\n")
    for command in ("apply", "validate"):
        ended = spangate(capsys, "config", command, str(file))
        assert ended.code == Exit.USAGE
        assert ended.err.startswith("error: the configuration has 2 problems\n")
        assert f"  {file}:2: global.sampling_rate: " in ended.err
        assert f"  {file}:3: global.sampling_rat: " in ended.err
        assert "hint: did you mean" in ended.err
    assert gateway.do(gateway.desk.get("global")) is None


def test_validate(capsys: Capsys, gateway: Served, file: Path) -> None:
    assert spangate(capsys, "config", "validate", str(file)) == (Exit.OK, f"{file}: valid for global\n", "")
    ended = spangate(capsys, "config", "validate", str(file), "--region", "eu")
    assert ended.code == Exit.USAGE
    assert "does not belong to regions/eu" in ended.err


def test_a_file_for_somebody_else(capsys: Capsys, gateway: Served, tmp_path: Path) -> None:
    ended = apply(capsys, written(tmp_path, "listen: 127.0.0.1:4317\nworkers: 2\n"))
    assert ended.code == Exit.USAGE
    assert [line.strip() for line in ended.err.splitlines()[1:]] == [
        f"{tmp_path}/fleet.yaml: is the configuration of a gateway",
        "hint: `spangate run --config` takes it; a fleet's has `global:` or `local:`",
    ]
    ended = apply(capsys, written(tmp_path, rate(0.1)), "--region", "eu")
    assert "hint: apply it without --region" in ended.err


def test_a_conflict_is_one_line_and_a_hint(capsys: Capsys, gateway: Served, file: Path, tmp_path: Path) -> None:
    apply(capsys, file)
    ended = apply(capsys, written(tmp_path, rate(0.2)), "--expect", "0")
    assert ended.code == Exit.REFUSED
    error, hint = ended.err.splitlines()
    assert error.startswith("error: global is at version 1, not at no version: ")
    assert "applied it at 2023-11-14 22:13:20 UTC" in error
    assert hint.startswith("hint: look at what changed")
    assert apply(capsys, file, "--expect", "1").code == Exit.OK


def test_get(capsys: Capsys, gateway: Served, file: Path, tmp_path: Path) -> None:
    ended = spangate(capsys, "config", "get")
    assert ended.code == Exit.REFUSED
    assert ended.err.startswith("error: global has no configuration\nhint: ")
    apply(capsys, file)
    assert spangate(capsys, "config", "get").out == rate(0.1)
    apply(capsys, written(tmp_path, rate(0.2)))
    assert spangate(capsys, "config", "get").out == rate(0.2)
    assert spangate(capsys, "config", "get", "--version", "1").out == rate(0.1)
    apply(capsys, written(tmp_path, LOCAL), "--region", "eu")
    assert spangate(capsys, "config", "get", "--region", "eu").out == LOCAL
    effective = spangate(capsys, "config", "get", "--region", "eu", "--effective").out
    assert "buffer_size: 10000" in effective


def test_standard_input_is_a_file(capsys: Capsys, gateway: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(rate(0.3).encode())))
    assert apply(capsys, Path("-")).code == Exit.OK
    assert spangate(capsys, "config", "get").out == rate(0.3)


@pytest.mark.parametrize(("data", "why"), [(None, "cannot be read: No such file"), (b"\xff", "is no UTF-8")])
def test_a_file_that_cannot_be_read(capsys: Capsys, tmp_path: Path, data: bytes | None, why: str) -> None:
    path = tmp_path / "fleet.yaml"
    if data is not None:
        path.write_bytes(data)
    ended = apply(capsys, path)
    assert ended.code == Exit.USAGE
    assert why in ended.err


def test_diff(capsys: Capsys, gateway: Served, file: Path, tmp_path: Path) -> None:
    apply(capsys, file)
    assert spangate(capsys, "config", "diff", str(file)) == (
        Exit.OK,
        "",
        f"{file} is what is in force for global\n",
    )
    other = written(tmp_path, rate(0.2), "other.yaml")
    assert spangate(capsys, "config", "diff", str(other)).out.splitlines() == [
        "--- global version 1",
        f"+++ {other}",
        "@@ -1,2 +1,2 @@",
        " global:",
        "-  sampling_rate: 0.1",
        "+  sampling_rate: 0.2",
    ]


def test_history_and_rollback(capsys: Capsys, gateway: Served, tmp_path: Path) -> None:
    assert spangate(capsys, "config", "history").err == "global has never had a configuration\n"
    for number in range(3):
        apply(capsys, written(tmp_path, rate(number / 10)), "--comment", f"step [{number}]")
    ended = spangate(capsys, "config", "rollback", "1")
    assert ended.out.startswith("global: version 4 is in force")
    heading, *lines = spangate(capsys, "config", "history").out.splitlines()
    assert heading.split() == ["version", "applied", "by", "comment"]
    assert [line.split()[0] for line in lines] == ["4", "3", "2", "1"]
    assert lines[0].rstrip().endswith("back to version 1")
    assert lines[1].rstrip().endswith("step [2]")
    assert spangate(capsys, "config", "rollback", "9").code == Exit.REFUSED


def test_a_time_that_is_none(capsys: Capsys, file: Path) -> None:
    ended = apply(capsys, file, "--wait", "soon")
    assert ended.code == Exit.USAGE
    assert ended.err.startswith("error: invalid value for '--wait': 'soon'")


# ---- finding the gateway


def test_no_gateway(capsys: Capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(SOCKET_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    ended = spangate(capsys, "config", "get")
    assert ended.code == Exit.UNREACHABLE
    where = tmp_path / "spangate" / "*" / "spangate.sock"
    assert ended.err.splitlines()[0] == f"error: no gateway answers at {where}: nobody listens"
    ended = spangate(capsys, "config", "get", "--admin-socket", str(tmp_path / "none"))
    assert ended.code == Exit.UNREACHABLE
    assert "no such file or directory" in ended.err


def test_the_one_gateway_of_this_user_is_found(capsys: Capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(SOCKET_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one, other = (tmp_path / "spangate" / name / "spangate.sock" for name in ("gw a%b", "gw-2"))
    with served(one) as gateway:
        gateway.do(gateway.desk.apply("global", rate(0.1), author="ann"))
        assert spangate(capsys, "config", "get").out == rate(0.1)
        with served(other):
            ended = spangate(capsys, "config", "get")
            assert ended.code == Exit.USAGE
            assert ended.err.splitlines() == [
                "error: 2 gateways run here, and any would do",
                f"hint: name one with --admin-socket or {SOCKET_VARIABLE}: {one}, {other}",
            ]


# ---- as a process


@pytest.mark.process
def test_watch_prints_documents_until_ctrl_c(gateway: Served, tmp_path: Path) -> None:
    gateway.do(gateway.desk.apply("global", rate(0.1), author="ann", comment="first"))
    command = [sys.executable, "-m", "sidecar.cli", "config", "watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) as watching:
        assert watching.stdout
        lines = [watching.stdout.readline() for _ in range(5)]
        assert lines[0] == "---\n"
        assert lines[1].startswith("# global version 1, revision ")
        assert lines[2:] == ["# ann at 2023-11-14 22:13:20 UTC: first\n", "global:\n", "  sampling_rate: 0.1\n"]
        gateway.do(gateway.desk.apply("global", rate(0.2), author="ann"))
        assert [watching.stdout.readline() for _ in range(5)][-1] == "  sampling_rate: 0.2\n"
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == Exit.OK


HELP = """
import sys, sidecar.cli
sidecar.cli.ended([{name!r}, "--help"])
print([name for name in ("grpc", "rich", "msgspec") if name in sys.modules])
"""


@pytest.mark.process
@pytest.mark.parametrize("name", ["config", "region", "register"])
def test_help_brings_nothing_heavy(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP.format(name=name)], capture_output=True, text=True, timeout=20, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize("command", ["get", "validate", "apply", "diff", "history", "rollback", "watch"])
def test_every_command_teaches(capsys: Capsys, command: str) -> None:
    ended = spangate(capsys, "config", command, "--help")
    assert ended.code == Exit.OK
    assert f"spangate config {command}" in ended.out.partition("Example")[2]
