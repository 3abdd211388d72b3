"""Keeping a library out of the process that another library would load without need."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def absent(name: str) -> Iterator[None]:
    """Inside the block, an import of the library `name` fails as if it was not installed; it is there again after.

    For optional dependencies of what is imported in the block. Where the library is loaded already, nothing is done:
    there is nothing to save, and whoever loaded it may count on it.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # Python's own way to say "there is no such module"
    try:
        yield
    finally:
        del sys.modules[name]
