"""The files of the work tree as git sees them: tracked, or new and not ignored."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def files() -> tuple[str, ...]:
    """Paths relative to the root, sorted; what is deleted but still in the index is left out."""
    git = ["git", "-C", str(ROOT), "-c", f"safe.directory={ROOT}"]  # the tree may be another user's: we only list
    command = [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    return tuple(sorted(path for path in set(listed.split("\0")) if path and (ROOT / path).is_file()))


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def modules() -> list[str]:
    """Every Python module of the package `sidecar`, by its dotted name."""
    names = []
    for path in files():
        if path.startswith("sidecar/") and path.endswith(".py"):
            parts = Path(path).with_suffix("").parts
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names
