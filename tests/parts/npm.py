"""Programs for Node: the packages that a package-lock.json names, installed once into the cache."""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.parts.cache import root
from tests.parts.golang import PartMissing

INSTALL_LIMIT_S = 300.0
OLDEST = 18


def program(source: Path) -> list[str]:
    """The command that runs main.js of `source`; PartMissing says in one line why there is none."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise PartMissing("Node is not installed, or npm is not")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < OLDEST:
        raise PartMissing(f"Node {version} is too old, {OLDEST} or newer is needed")
    files = [source / name for name in ("package.json", "package-lock.json", "main.js")]
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]
    folder = root() / f"{source.name}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _install(npm, files, folder)
    return [node, str(folder / "main.js")]


def _install(npm: str, files: list[Path], folder: Path) -> None:
    unfinished = folder.with_suffix(".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)  # left by one that was killed; the lock is ours
    unfinished.mkdir()
    for path in files:
        shutil.copy(path, unfinished)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=unfinished, capture_output=True, text=True, check=False, timeout=INSTALL_LIMIT_S)
    if done.returncode != 0:
        raise PartMissing(f"npm ci ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    unfinished.rename(folder)
