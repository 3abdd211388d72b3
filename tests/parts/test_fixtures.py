import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = """
def test_collector(otelcol_binary):
    assert otelcol_binary.is_file()

def test_nothing():
    pass
"""


def run_sample(folder: Path, *arguments: str, ci: str = "") -> subprocess.CompletedProcess[str]:
    """Run the sample above with no Go and an empty cache."""
    (folder / "test_sample.py").write_text(SAMPLE)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "tests.parts.fixtures"]
    command += ["-p", "no:cacheprovider", "--durations=0", str(folder / "test_sample.py"), *arguments]
    env = os.environ | {"PATH": "/nowhere", "XDG_CACHE_HOME": str(folder / "cache"), "CI": ci}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=50)


def test_without_go_the_test_is_skipped_with_one_line(tmp_path: Path) -> None:
    done = run_sample(tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("SKIPPED") == 1
    assert "otelcol 0.160.0 is not in" in done.stdout
    assert "and Go is not installed" in done.stdout
    assert "1 passed, 1 skipped" in done.stdout.splitlines()[-1]


def test_without_go_the_test_fails_under_ci(tmp_path: Path) -> None:
    done = run_sample(tmp_path, ci="true")
    assert done.returncode == 1, done.stdout
    assert "under CI every part must be there: otelcol 0.160.0 is not in" in done.stdout


@pytest.mark.parametrize(("marks", "passed"), [("not interop", "1 passed, 1 deselected"), ("interop", "1 skipped")])
def test_the_mark_is_set_by_the_fixture(tmp_path: Path, marks: str, passed: str) -> None:
    done = run_sample(tmp_path, "-m", marks)
    assert passed in done.stdout.splitlines()[-1]
