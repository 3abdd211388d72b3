"""Which native module may know which: the table, and what a source file asks for."""

import re
from dataclasses import dataclass
from pathlib import PurePath

# Bottom to top. A module may cimport only from rows below its own; modules of one row do not know each other.
LAYERS = (
    {"memory", "core"},
    {"ledger", "gzip"},
    {"scan"},
    {"sample", "route", "rendezvous"},
    {"batch"},
    {"split", "answer", "client", "fate", "sockets"},
    {"deadlines"},
    {"outbox", "server", "backends"},
    {"ages"},
    {"engine"},
)
RANK = {name: rank for rank, row in enumerate(LAYERS) for name in row}

OUTSIDE = {"libc", "posix", "cpython", "cython"}  # what Cython ships
PACKAGES = ("sidecar._native.", "sidecar.")  # either spelling of our own, or none at all
NOT_NATIVE = {"asyncio", "uvloop", "grpc", "starlette", "uvicorn", "socket", "threading", "logging", "structlog"}

_FROM = re.compile(r"^\s*from\s+(?P<module>[\w.]+)\s+(?P<kind>cimport|import)\s+(?P<names>\([^)]*\)|.*)", re.MULTILINE)
_PLAIN = re.compile(r"^\s*(?P<kind>cimport|import)\s+(?P<names>.*)", re.MULTILINE)
_TEXT = re.compile(r'"""(?:\\.|[^\\])*?"""|#[^\n]*', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Wants:
    """What one file asks for: native modules by cimport, Python modules by import."""

    cimports: frozenset[str]
    imports: frozenset[str]


def _names(text: str) -> list[str]:
    return [name for part in text.strip("()").split(",") if (name := part.split(" as ")[0].strip())]


def wants(source: str) -> Wants:
    """The modules that a Cython source names; of our own only the last part of the name is kept."""
    code = _TEXT.sub("", source).replace("\\\n", " ")
    found: dict[str, set[str]] = {"cimport": set(), "import": set()}
    for match in _FROM.finditer(code):
        module = match["module"]
        if module in {"sidecar._native", "."}:  # then the names are modules
            found[match["kind"]].update(f"sidecar._native.{name}" for name in _names(match["names"]))
        else:
            found[match["kind"]].add(f"sidecar._native{module}" if module.startswith(".") else module)
    for match in _PLAIN.finditer(code):
        found[match["kind"]].update(_names(match["names"]))
    return Wants(frozenset(map(_bare, found["cimport"])), frozenset(found["import"]))


def _bare(module: str) -> str:
    for package in PACKAGES:
        if module.startswith(package):
            return module.removeprefix(package)
    return module


def faults(path: str, source: str) -> list[str]:
    """What a native source does against the order of the house, one line each."""
    me, asked = PurePath(path).name.split(".")[0], wants(source)
    ours = {name for name in asked.cimports if name.split(".")[0] not in OUTSIDE and name != me}
    out = []
    if not me.startswith("_") and me not in RANK:
        out.append(f"{path}: {me} has no place in LAYERS")
    for name in sorted(ours):
        if name.startswith("_"):
            continue  # header-only: open to all
        if me.startswith("_"):
            out.append(f"{path}: header-only, but cimports {name}")
        elif name not in RANK:
            out.append(f"{path}: cimports {name}, which has no place in LAYERS")
        elif RANK.get(me, -1) <= RANK[name]:
            out.append(f"{path}: cimports {name}, which is not below it")
    for module in sorted(asked.imports):
        top = module.split(".")[0]
        if top in NOT_NATIVE or (top == "sidecar" and not module.startswith("sidecar._native.")):
            out.append(f"{path}: imports {module}; native code knows neither I/O libraries nor the package above it")
    return out
