"""Where built parts live, and how one gets there: under a lock, to a temporary folder, then by one rename."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.parts.catalogue import BUILD_ENV, BUILD_FLAGS, Part


def root() -> Path:
    """The cache folder; read at each call, so that a test can point XDG_CACHE_HOME elsewhere."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "spangate" / "parts"


def key(part: Part) -> str:
    """`<name>-<digest>`: the same sources built the same way are the same part, in any clone."""
    digest = hashlib.sha256("\0".join((part.package, *BUILD_FLAGS, repr(BUILD_ENV))).encode())
    for path in part.inputs():
        digest.update(f"\0{path.name}\0".encode())
        digest.update(path.read_bytes())
    return f"{part.name}-{digest.hexdigest()[:16]}"


def lookup(part: Part) -> Path | None:
    """The finished binary of a part, or None where it has not been built."""
    binary = root() / key(part) / part.name
    return binary if binary.is_file() else None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; the kernel lets go of it when the holder dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def fill(part: Part, build: Callable[[Path], None]) -> Path:
    """The binary of a part, made by `build(target)` unless another process has done so in the meantime."""
    folder = root()
    folder.mkdir(parents=True, exist_ok=True)
    name = key(part)
    with _locked(folder / f"{name}.lock"):
        found = lookup(part)
        if found is not None:
            return found
        unfinished = folder / f"{name}.tmp"
        shutil.rmtree(unfinished, ignore_errors=True)  # left by a builder that was killed; the lock is ours
        unfinished.mkdir()
        build(unfinished / part.name)
        unfinished.rename(folder / name)
        return folder / name / part.name
