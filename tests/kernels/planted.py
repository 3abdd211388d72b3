"""Faults planted in the kernels, to see that the fuzz finds each: `python -m tests.kernels.planted`.

A copy of the native sources gets one textual change, is built in a folder of its own, and must fail in the
20,000 cases that the tests run.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
CASES = 20_000

BUILD = """
import sys
from Cython.Build import cythonize
from setuptools import Extension, setup
name = sys.argv.pop()
setup(ext_modules=cythonize(
    [Extension(f"sidecar._native.{name}", [f"native/{name}.pyx"], extra_compile_args=["-O1", "-w"])],
    include_path=["native", "."],
    compiler_directives=dict(language_level=3, boundscheck=False, wraparound=False, cdivision=True,
                             initializedcheck=False),
))
"""


@dataclass(frozen=True)
class Fault:
    name: str
    file: str
    old: str
    new: str
    module: str = "scan"
    fuzz: str = "tests.kernels.fuzz"


FAULTS = [
    Fault(
        "a length may reach one byte past the end",
        "_wire.pxd",
        "n[0] > <uint64_t>(e - p)",
        "n[0] > <uint64_t>(e - p + 1)",
    ),
    Fault(
        "a group is closed by any end",
        "_wire.pxd",
        "if open_fields[depth] != tag >> 3:",
        "if depth > 100:",
    ),
    Fault(
        "where a varint ends is not part of a shape",
        "_shape.pxd",
        "0x80ff",
        "0x00ff",
    ),
    Fault(
        "a value that is no string leaves the one before it",
        "_resource.pxd",
        "            text.p = NULL\n",
        "            pass\n",
    ),
    Fault(
        "the old scopes go along with the new ones",
        "_walk.pxd",
        "if t.nscopes == resource.scope0:",
        "if True:",
    ),
    Fault(
        "an item at the threshold is left out",
        "_judge.pxd",
        "keep = item.rand >= threshold",
        "keep = item.rand > threshold",
        "sample",
    ),
    Fault(
        "what is shed is charged to the rate",
        "_judge.pxd",
        "a.cause = CAUSE_SHED",
        "pass",
        "sample",
    ),
    Fault(
        "a span with an error is shed with its class",
        "_judge.pxd",
        "ask(&asks[1], rule, s.shed[CLASS_ERRORS]",
        "ask(&asks[1], rule, s.shed[rule.traffic_class]",
        "sample",
    ),
    Fault(
        "33 members are none too many",
        "_tracestate.pxd",
        "if members > STATE_MEMBERS:",
        "if members > STATE_MEMBERS + 1:",
        "sample",
    ),
    Fault(
        "a threshold that lies is believed",
        "_judge.pxd",
        "lies = item.rand < st.threshold",
        "lies = False",
        "sample",
    ),
]


def plant(fault: Fault, at: Path) -> None:
    """The project's native part with this fault, built."""
    shutil.copytree(ROOT / "native", at / "native", ignore=shutil.ignore_patterns("*.c", "*.html"))
    shutil.copytree(ROOT / "sidecar" / "_native", at / "sidecar" / "_native")
    shutil.copy(ROOT / "sidecar" / "__init__.py", at / "sidecar")
    source = at / "native" / fault.file
    text = source.read_text()
    if text.count(fault.old) != 1:
        raise ValueError(f"{fault.name}: {fault.file} has {fault.old!r} {text.count(fault.old)} times, not once")
    source.write_text(text.replace(fault.old, fault.new))
    (at / "build.py").write_text(BUILD)
    command = [sys.executable, "build.py", "-q", "build_ext", "--inplace", fault.module]
    subprocess.run(command, cwd=at, check=True, stdout=subprocess.DEVNULL)


def found(fault: Fault) -> bool:
    """Whether the fuzz fails, by an assertion or by a read that ends the process."""
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        plant(fault, at)
        command = [sys.executable, "-m", fault.fuzz, "--cases", str(CASES), "--corpus", folder]
        env = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
        done = subprocess.run(command, cwd=at, env=env, check=False, capture_output=True, text=True)
        return done.returncode < 0 or "AssertionError" in done.stderr


def main() -> int:
    missed = [fault.name for fault in FAULTS if not found(fault)]
    for name in missed:
        print(f"not found: {name}")  # noqa: T201
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
