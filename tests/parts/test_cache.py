import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import parts
from tests.parts import cache, golang

ROOT = Path(__file__).resolve().parents[2]
FAKE_GO = """#!/bin/sh
if [ "$1" = env ]; then echo "{version}"; exit 0; fi
echo run >> "{log}"
[ -z "{message}" ] || {{ echo "{message}"; exit 1; }}
while [ "$1" != -o ]; do shift; done
sleep 0.2
echo built > "$2"
"""


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "spangate" / "parts"


@pytest.fixture
def no_go(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")


def install_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str = "go1.26.8", message: str = "") -> Path:
    """A `go` that counts its builds in the file returned."""
    folder, log = tmp_path / "bin", tmp_path / "go.log"
    folder.mkdir()
    (folder / "go").write_text(FAKE_GO.format(version=version, log=log, message=message))
    (folder / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return log


def test_a_part_is_built_once(empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = install_go(tmp_path, monkeypatch)
    path = parts.binary("otelcol")
    assert path == parts.binary("otelcol") == parts.built("otelcol") == empty_cache / path.parent.name / "otelcol"
    assert log.read_text().split() == ["run"]


def test_two_processes_build_once(empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = install_go(tmp_path, monkeypatch)
    command = [sys.executable, "-m", "tests.parts", "telemetrygen"]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(30) for process in both] == [0, 0]
    assert log.read_text().split() == ["run"]


def test_what_a_killed_builder_left_is_no_part(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_go(tmp_path, monkeypatch)
    unfinished = empty_cache / f"{cache.key(parts.PARTS['etcd'])}.tmp"
    unfinished.mkdir(parents=True)
    (unfinished / "etcd").write_text("half")
    assert parts.built("etcd") is None
    assert parts.binary("etcd").read_text() == "built\n"
    assert not unfinished.exists()


def test_a_failed_build_tells_why(empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_go(tmp_path, monkeypatch, message="main.go:1: no such thing")
    with pytest.raises(parts.PartBroken, match=r"otelcol: go build ended with 1\nmain.go:1: no such thing"):
        parts.binary("otelcol")
    assert parts.built("otelcol") is None


def test_an_old_go_is_no_go(empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_go(tmp_path, monkeypatch, version="go1.19.8")
    with pytest.raises(parts.PartMissing, match=r"go1.19.8 is too old, Go 1.21 or newer is needed$"):
        parts.binary("otelcol")


@pytest.mark.usefixtures("no_go")
def test_without_go_a_part_is_missing() -> None:
    with pytest.raises(parts.PartMissing, match=r"^otelcol 0.160.0 is not in .*, and Go is not installed$"):
        parts.binary("otelcol")


@pytest.mark.usefixtures("no_go")
def test_without_go_etcd_is_the_one_of_the_wheel() -> None:
    path = parts.binary("etcd")
    assert path.parent.name == "etcdbin"
    assert os.access(path, os.X_OK)


def test_the_sources_decide_the_key(tmp_path: Path) -> None:
    def part(text: str) -> parts.Part:
        (tmp_path / "go.sum").write_text(text)
        return parts.Part("x", "1", ".", tmp_path)

    one, two = cache.key(part("a")), cache.key(part("b"))
    assert one != two
    assert cache.key(part("a")) == one


@pytest.mark.usefixtures("no_go")
@pytest.mark.parametrize(
    ("arguments", "ci", "status"),
    [
        (["otelcol"], "", 1),
        (["--optional", "otelcol"], "", 0),
        (["--optional", "otelcol"], "true", 1),
        (["--optional", "etcd"], "true", 0),
        (["--list"], "", 0),
        (["collectd"], "", 2),
    ],
)
def test_the_command_ends_with(arguments: list[str], ci: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", ci)
    done = subprocess.run(
        [sys.executable, "-m", "tests.parts", *arguments], cwd=ROOT, capture_output=True, check=False, timeout=30
    )
    assert done.returncode == status, done


def test_go_is_found_or_its_want_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(parts.PartMissing, match=r"^Go is not installed$"):
        golang.find()
