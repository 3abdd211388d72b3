import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT, files, modules

KEPT_OUT_OF_A_WORKER = ("grpc", "sidecar.coord")


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


@pytest.mark.skipif(not (ROOT / "sidecar" / "worker.py").exists(), reason="sidecar/worker.py does not exist yet")
def test_a_worker_loads_neither_grpc_nor_coord() -> None:
    done = run("-c", "import sys, sidecar.worker; print(*sys.modules, sep='\\n')")
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    strangers = [name for name in loaded if name.startswith(tuple(f"{kept}." for kept in KEPT_OUT_OF_A_WORKER))]
    assert [name for name in loaded if name in KEPT_OUT_OF_A_WORKER] + strangers == []
