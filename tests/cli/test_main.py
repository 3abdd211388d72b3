import importlib.util
import subprocess
import sys

import click
import pytest

from sidecar.cli import COMMANDS, command
from sidecar.errors import Exit, NoBackend, SpangateError
from tests.cli.command_line import spangate

HEAVY = (
    "msgspec",
    "yaml",
    "rich",
    "starlette",
    "uvicorn",
    "structlog",
    "prometheus_client",
    "asyncio",
    "uvloop",
    "grpc",
)
WRITTEN = [name for name in COMMANDS if importlib.util.find_spec(f"sidecar.cli.{name}")]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=20, check=False)


def test_help_brings_only_click() -> None:
    source = f"import sys, sidecar.cli as c; c.ended(['--help']); print([m for m in {HEAVY} if m in sys.modules])"
    assert python("-c", source).stdout.splitlines()[-1] == "[]"


def test_version_brings_no_server() -> None:
    """What answers at once is told by what is not loaded; how long that takes is the machine's."""
    heavy = sorted({*HEAVY} - {"msgspec"})
    source = f"import sys, sidecar.cli as c; c.ended(['version']); print([m for m in {heavy} if m in sys.modules])"
    assert python("-c", source).stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", WRITTEN)
def test_every_command_teaches(capsys: pytest.CaptureFixture[str], name: str) -> None:
    ended = spangate(capsys, name, "--help")
    assert ended.code == Exit.OK
    assert "Example" in ended.out
    assert f"spangate {name}" in ended.out


def test_every_command_is_a_click_command_of_its_name() -> None:
    context = click.Context(command)
    found = [command.get_command(context, name) for name in WRITTEN]
    assert [one.name for one in found if one] == WRITTEN


def test_help_lists_every_command_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    out = spangate(capsys, "--help").out
    places = [out.index(f"  {name} ") for name in COMMANDS]
    assert places == sorted(places)


def test_no_command_gives_help_and_the_code_of_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    ended = spangate(capsys)
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert "Commands:" in ended.err


@pytest.mark.parametrize("name", ["config", "region"])
def test_so_does_a_group_without_a_command(capsys: pytest.CaptureFixture[str], name: str) -> None:
    ended = spangate(capsys, name)
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert ended.err.startswith(f"Usage: spangate {name} ")


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["stats"], "error: no such command 'stats'", "hint: see `spangate --help`"),
        (["validate"], "error: missing argument 'FILE'", "hint: see `spangate validate --help`"),
        (["run", "--bakend", "a:1"], "error: no such option '--bakend'", "hint: see `spangate run --help`"),
        (["status", "--admin", "nowhere"], "error: invalid value for '--admin': 'nowhere' has no port", "hint: see"),
    ],
)
def test_a_mistake_is_one_line_and_a_hint(
    capsys: pytest.CaptureFixture[str], arguments: list[str], error: str, hint: str
) -> None:
    ended = spangate(capsys, *arguments)
    first, second = ended.err.splitlines()
    assert ended.code == Exit.USAGE
    assert first.startswith(error)
    assert second.startswith(hint)


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(click.Group, "get_command", lambda *_: None)
    monkeypatch.setattr(type(command), "get_command", lambda *_: click.Command("version", callback=fail))


def test_an_error_that_was_foreseen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    failing(monkeypatch, NoBackend())
    ended = spangate(capsys, "version")
    assert ended.code == Exit.NO_BACKEND
    assert ended.err.splitlines()[0] == "error: no backend is configured"


def test_an_error_that_was_not(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    failing(monkeypatch, KeyError("x"))
    first, second = (spangate(capsys, "version") for _ in range(2))
    assert first.code == Exit.INTERNAL
    assert first.err.startswith("error: internal error ")
    assert first.err.endswith(": KeyError: 'x'\nhint: set SPANGATE_TRACEBACK=1 to see where\n")
    assert first == second, "the same fault has the same id"


def test_the_traceback_is_there_for_who_asks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, KeyError("x"))
    monkeypatch.setenv("SPANGATE_TRACEBACK", "1")
    assert "Traceback" in spangate(capsys, "version").err


def test_ctrl_c_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    assert spangate(capsys, "version") == (Exit.INTERRUPTED, "", "\n")


@pytest.mark.process
def test_a_reader_that_has_gone_is_no_reason_to_shout() -> None:
    shell = f"{sys.executable} -m sidecar.cli run --help | true; echo ${{PIPESTATUS[0]}}"
    answer = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=20, check=True)
    assert (answer.stdout, answer.stderr) == (f"{Exit.PIPE.value}\n", "")


def test_exit_codes_are_told_apart() -> None:
    def below(kind: type[SpangateError]) -> list[type[SpangateError]]:
        return [kind, *(one for child in kind.__subclasses__() for one in below(child))]

    kinds = below(SpangateError)
    assert all(isinstance(kind.exit_code, Exit) for kind in kinds)
    raised = {kind.exit_code for kind in kinds}
    assert set(Exit) - raised == {Exit.OK, Exit.PIPE, Exit.INTERRUPTED}, "a code that nothing ends with"
