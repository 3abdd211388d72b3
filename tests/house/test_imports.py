import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT, files, modules

KEPT_OUT = {
    # A worker's memory is paid once per processor. protobuf comes into one with the first failure that needs it.
    "sidecar.worker": ("grpc", "sidecar.coord", "google.protobuf", "rich", "starlette", "uvicorn", "prometheus_client"),
    "sidecar.supervisor": ("google.protobuf", "rich"),
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=50
    )


def test_every_module_imports_alone() -> None:
    """A circular import shows only where the right module comes first: so each one comes first once."""
    importable = [name for name in modules() if not name.endswith(".__main__")]
    native = [Path(path).stem for path in files() if path.startswith("native/") and path.endswith(".pyx")]
    done = run("-m", "tests.house.import_alone", *importable, *(f"sidecar._native.{name}" for name in native))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_module_that_does_not_import_is_told() -> None:
    done = run("-m", "tests.house.import_alone", "sidecar.there_is_no_such_module")
    assert done.returncode == 1
    assert "sidecar.there_is_no_such_module does not import alone" in done.stdout


@pytest.mark.parametrize("process", KEPT_OUT)
def test_a_process_loads_no_more_than_it_needs(process: str) -> None:
    done = run("-c", f"import sys, {process}; print(*sys.modules, sep='\\n')")
    assert done.returncode == 0, done.stderr
    kept_out = tuple(f"{name}." for name in KEPT_OUT[process])
    assert [name for name in done.stdout.split() if f"{name}.".startswith(kept_out)] == []
