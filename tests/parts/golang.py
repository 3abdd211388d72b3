"""The Go tool: whether it can be used here, and one build with it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.parts.catalogue import BUILD_ENV, BUILD_FLAGS, Part

OLDEST = (1, 21)  # from here on, go fetches by itself the toolchain that a go.mod asks for
BUILD_LIMIT_S = 1500.0


class PartMissing(Exception):
    """The part is not in the cache, and there is no Go to build it with."""


class PartBroken(Exception):
    """Go is there, but the build failed."""


def find() -> str:
    """The path of a usable `go`; otherwise PartMissing says in one line why there is none."""
    go = shutil.which("go")
    if go is None:
        raise PartMissing("Go is not installed")
    asked = subprocess.run([go, "env", "GOVERSION"], cwd="/", capture_output=True, text=True, check=False, timeout=30)
    version = re.match(r"go(\d+)\.(\d+)", asked.stdout)
    if version is None:
        raise PartMissing(f"{go} does not tell its version")
    if (int(version[1]), int(version[2])) < OLDEST:
        raise PartMissing(f"{asked.stdout.strip()} is too old, Go {OLDEST[0]}.{OLDEST[1]} or newer is needed")
    return go


def build(go: str, part: Part, target: Path) -> None:
    """Build one part; module and build cache are the user's own."""
    command = [go, "build", *BUILD_FLAGS, "-o", str(target), part.package]
    try:
        done = subprocess.run(
            command,
            cwd=part.source,
            env=os.environ | BUILD_ENV,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=BUILD_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise PartBroken(f"{part.name}: go build took longer than {BUILD_LIMIT_S:.0f} s") from None
    if done.returncode != 0 or not target.is_file():
        tail = "\n".join(line for line in done.stdout.splitlines() if not line.startswith("go: downloading"))
        raise PartBroken(f"{part.name}: go build ended with {done.returncode}\n{tail[-2000:]}")
