from pathlib import Path

import pytest

from sidecar.errors import Exit
from tests.cli.command_line import spangate

EXAMPLE = Path(__file__).parents[2] / "docs" / "spangate.example.yaml"


def test_a_file_that_can_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert spangate(capsys, "validate", str(EXAMPLE)) == (
        Exit.OK,
        f"{EXAMPLE}: valid, 3 backends, routing consistent_hash\n",
        "",
    )


def test_all_problems_with_lines_and_hints(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "spangate.yaml"
    file.write_text("backends:\n  - address: a:4317\n    wieght: 2\nworkers: none\n")
    ended = spangate(capsys, "validate", str(file))
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert ended.err.splitlines() == [
        "error: the configuration has 2 problems",
        f"  {file}:3: backends[0].wieght: is no setting",
        "    hint: did you mean weight?",
        f"  {file}:4: workers: must be a whole number, not 'none'",
    ]


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    ended = spangate(capsys, "validate", str(tmp_path / name))
    assert ended.code == Exit.USAGE
    assert len(ended.err.splitlines()) == 2


def test_warnings_change_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "spangate.yaml"
    file.write_text("routing: {strategy: round_robin}\nbackends: [a:1, b:1]\n")
    ended = spangate(capsys, "validate", str(file))
    assert ended.code == Exit.OK
    assert ended.err.startswith(f"warning: {file}:1: routing.strategy: round_robin without ownership sends the spans")


def test_a_file_without_backends_is_told_of(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "spangate.yaml"
    file.write_text("workers: 2\n")
    ended = spangate(capsys, "validate", str(file))
    assert ended.code == Exit.OK
    assert ended.err.startswith(f"warning: {file}: backends: names none\nhint: ")


def test_the_environment_stays_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPANGATE_WORKERS", "none")
    assert spangate(capsys, "validate", str(EXAMPLE)).code == Exit.OK
