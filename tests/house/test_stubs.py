"""The stubs of the native modules tell of everything that Python sees there, and of nothing else."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from importlib import import_module
from pathlib import PurePath
from types import ModuleType

import pytest

from tests.house.tree import files, read

STUBS = [path for path in files() if path.startswith("sidecar/_native/") and path.endswith(".pyi")]
NAMED_TUPLE = {"count", "index"}  # what it has beside its fields


def public(names: Iterable[str]) -> set[str]:
    return {name for name in names if not name.startswith("_")}


def told(body: Iterable[ast.stmt]) -> dict[str, ast.stmt]:
    """The public names that statements define."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
    return {name: node for name, node in found.items() if not name.startswith("_")}


def seen(module: ModuleType) -> set[str]:
    """The public names of a module but for what it has only imported."""
    return {
        name
        for name in public(dir(module))
        if not isinstance(thing := getattr(module, name), ModuleType)
        and not getattr(thing, "__module__", "").startswith(("collections", "array", "mmap"))
    }


def members(kind: type) -> set[str]:
    """The public names of a class."""
    return public(dir(kind)) - (NAMED_TUPLE if hasattr(kind, "_fields") else set())


@pytest.mark.parametrize("path", STUBS)
def test_a_stub_has_the_names_of_its_module(path: str) -> None:
    module = import_module(f"sidecar._native.{PurePath(path).stem}")
    stub = told(ast.parse(read(path)).body)
    assert set(stub) == seen(module)
    for name, node in stub.items():
        if isinstance(node, ast.ClassDef):
            kind = getattr(module, name)
            assert set(told(node.body)) == members(kind), name
            if hasattr(kind, "_fields"):
                assert [*told(node.body)] == [*kind._fields], f"the order of the fields of {name}"


def test_what_is_missing_is_seen() -> None:
    stub = told(
        ast.parse("LIMIT: int\n_HIDDEN: int\nclass A:\n    def f(self) -> None: ...\ndef g() -> None: ...").body
    )
    assert set(stub) == {"LIMIT", "A", "g"}
    module = ModuleType("m")
    module.__dict__.update(LIMIT=1, h=told, math=import_module("math"), _hidden=2)
    assert seen(module) == {"LIMIT", "h"}
