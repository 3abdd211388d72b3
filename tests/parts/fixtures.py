"""pytest plugin: the real parts as fixtures (`pytest_plugins = ["tests.parts.fixtures"]`).

A test that asks for `otelcol_binary` or `telemetrygen_binary` is marked `interop`, one that asks for `etcd_binary` is
marked `process`. What the selected tests need is built before the first of them starts, since a build may take minutes
and a test may not. Where Go is missing, the tests are skipped with one line; under CI=true they fail.
"""

import os
from pathlib import Path

import pytest

from tests import parts

MARKS = {"otelcol": "interop", "telemetrygen": "interop", "gosdk": "interop", "etcd": "process"}


def needed(item: pytest.Item) -> list[str]:
    """The parts that a test asks for, through any of its fixtures."""
    fixtures: list[str] = getattr(item, "fixturenames", [])
    return [name for name in MARKS if f"{name}_binary" in fixtures]


@pytest.hookimpl(tryfirst=True)  # before -m selects by these marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for name in needed(item):
            item.add_marker(MARKS[name])


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.config.option.collectonly:
        return
    for name in sorted({name for item in session.items for name in needed(item)}):
        try:
            parts.binary(name)
        except (parts.PartMissing, parts.PartBroken):
            continue  # each test that needs it tells, in obtain()


def obtain(name: str) -> Path:
    """The binary of a part for a test, which is skipped, or under CI failed, where there is none."""
    try:
        return parts.binary(name)
    except parts.PartMissing as missing:
        reason = str(missing)
    if os.environ.get("CI") == "true":
        pytest.fail(f"under CI every part must be there: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def otelcol_binary() -> Path:
    """OpenTelemetry Collector with the components of tests/parts/otelcol/main.go."""
    return obtain("otelcol")


@pytest.fixture(scope="session")
def telemetrygen_binary() -> Path:
    """The Collector project's own load client."""
    return obtain("telemetrygen")


@pytest.fixture(scope="session")
def gosdk_binary() -> Path:
    """A service that uses the SDK of Go."""
    return obtain("gosdk")


@pytest.fixture(scope="session")
def etcd_binary() -> Path:
    """etcd 3.6.16, or where Go is missing 3.5.1."""
    return obtain("etcd")
