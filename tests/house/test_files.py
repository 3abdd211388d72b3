import ast
from pathlib import PurePath

import pytest

from tests.house.tree import files, modules, read

SOURCE_SUFFIXES = {".py", ".pyx", ".pxd", ".pyi", ".sh", ".c", ".h", ".go", ".js", ".css", ".html", ".proto"}
SOURCE_NAMES = {"Makefile", "Dockerfile"}
MOST_LINES = 400
SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager"}


def is_source(path: str) -> bool:
    pure = PurePath(path)
    return pure.suffix in SOURCE_SUFFIXES or pure.name in SOURCE_NAMES or path.startswith(".ci/")


def test_git_lists_the_files() -> None:
    assert "pyproject.toml" in files()


def test_no_source_file_is_long() -> None:
    lengths = {path: len(read(path).splitlines()) for path in files() if is_source(path)}
    assert {path: n for path, n in lengths.items() if n > MOST_LINES} == {}


def test_every_name_says_something() -> None:
    vague = [path for path in files() if is_source(path) and SAY_NOTHING & {*PurePath(path).with_suffix("").parts}]
    assert vague == []


def test_every_package_says_that_it_is_one() -> None:
    """setuptools leaves a folder without __init__.py out of the wheel, and import-linter does not see it."""
    folders = {PurePath(path).parent for path in files() if path.startswith("sidecar/") and path.endswith(".py")}
    assert [str(folder) for folder in sorted(folders) if f"{folder}/__init__.py" not in files()] == []


def test_every_extension_has_a_stub() -> None:
    extensions = [PurePath(path).stem for path in files() if path.startswith("native/") and path.endswith(".pyx")]
    assert [name for name in extensions if f"sidecar/_native/{name}.pyi" not in files()] == []


def test_every_stub_has_an_extension() -> None:
    stubs = [PurePath(path).stem for path in files() if path.startswith("sidecar/_native/") and path.endswith(".pyi")]
    assert [name for name in stubs if name != "__init__" and f"native/{name}.pyx" not in files()] == []


def root_uses(source: str, submodules: set[str]) -> list[str]:
    """Imports of the package root itself: `import sidecar`, `from sidecar import <what is no module>`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name == "sidecar"]
        elif isinstance(node, ast.ImportFrom) and node.module == "sidecar" and node.level == 0:
            found += [f"sidecar.{alias.name}" for alias in node.names if alias.name not in submodules]
    return found


def test_no_module_imports_the_root() -> None:
    """import-linter does not see it, and it is how import cycles begin."""
    submodules = {name.split(".")[1] for name in modules() if "." in name}
    sources = [path for path in files() if path.startswith("sidecar/") and path.endswith(".py")]
    assert {path: uses for path in sources if (uses := root_uses(read(path), submodules))} == {}


@pytest.mark.parametrize(
    ("source", "uses"),
    [
        ("import sidecar", ["sidecar"]),
        ("from sidecar import __version__", ["sidecar.__version__"]),
        ("from sidecar import model", []),
        ("import sidecar.model", []),
        ("from sidecar.model import Signal", []),
    ],
)
def test_an_import_of_the_root_is_seen(source: str, uses: list[str]) -> None:
    assert root_uses(source, {"model"}) == uses
