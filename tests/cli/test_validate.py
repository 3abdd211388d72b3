from pathlib import Path

import pytest

from sidecar.errors import Exit
from tests.cli.command_line import spangate

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "spangate.example.yaml"
FLEET = DOCS / "fleet.example.yaml"


def test_a_file_that_can_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert spangate(capsys, "validate", str(EXAMPLE)) == (
        Exit.OK,
        f"{EXAMPLE}: valid for a gateway: 3 backends, routing consistent_hash\n",
        "",
    )


def test_a_fleets_file_is_known_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    told = "valid for a fleet: global (adaptive, priority_based, cost_based; 2 routing rules), local"
    assert spangate(capsys, "validate", str(FLEET)) == (Exit.OK, f"{FLEET}: {told}\n", "")


def test_all_problems_of_a_fleets_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(
        "global:\n  sampling_rate: 2\n  degradation: {treshold: 1}\n  sampling_strategies:\n  - type: adaptive\n"
    )
    ended = spangate(capsys, "validate", str(file))
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert ended.err.splitlines() == [
        "error: the configuration has 3 problems",
        f"  {file}:2: global.sampling_rate: must be from 0 to 1, not 2",
        f"  {file}:3: global.degradation.treshold: is no setting",
        "    hint: did you mean threshold?",
        f"  {file}:5: global.sampling_strategies[0].type: is adaptive, which needs target_qps",
    ]


def test_a_fleets_file_may_be_unwise(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text("local: {}\nglobal:\n  sampling_rate: 1\n  sampling_strategies: [{fixed: {rate: 1}}]\n")
    ended = spangate(capsys, "validate", str(file))
    assert (ended.code, ended.out) == (Exit.OK, f"{file}: valid for a fleet: global (fixed; 0 routing rules), local\n")
    assert ended.err == f"warning: {file}:3: global.sampling_rate: is not used: the strategy `fixed` says the rate\n"


def test_a_file_for_both_is_for_neither(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "both.yaml"
    file.write_text("workers: 1\nglobal: {}\n")
    ended = spangate(capsys, "validate", str(file))
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert f"{file}:2: global: is for a fleet, and workers in line 1 for a gateway" in ended.err
    assert "hint: make two files of it" in ended.err


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
