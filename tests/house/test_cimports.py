import pytest

from tests.house.cimports import faults, wants
from tests.house.tree import files, read


def test_native_modules_know_only_lower_ones() -> None:
    native = [
        path
        for path in files()
        if path.startswith(("native/", "sidecar/_native/")) and path.endswith((".pyx", ".pxd", ".pxi"))
    ]
    assert [fault for path in native for fault in faults(path, read(path))] == []


@pytest.mark.parametrize(
    ("source", "cimports"),
    [
        ("cimport cython", {"cython"}),
        ("from libc.stdint cimport uint64_t", {"libc.stdint"}),
        ("from sidecar._native.memory cimport Pool", {"memory"}),
        ("from sidecar._native cimport memory, ledger as book", {"memory", "ledger"}),
        ("from .scan cimport Items", {"scan"}),
        ("from . cimport scan", {"scan"}),
        ("from _wire cimport varint", {"_wire"}),
        ("cimport _wire, _hash", {"_wire", "_hash"}),
        ("from sidecar._native cimport (\n    memory,\n    scan,\n)", {"memory", "scan"}),
        ("# from scan cimport Items", set()),
        ('"""how to:\n\ncimport scan\n"""', set()),
    ],
)
def test_cimports_are_read(source: str, cimports: set[str]) -> None:
    assert wants(source).cimports == cimports


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        ("native/scan.pyx", "from engine cimport Engine", "not below"),
        ("native/sample.pyx", "from route cimport Slots", "not below"),
        ("native/_wire.pxd", "from scan cimport Items", "header-only"),
        ("native/queue.pyx", "", "no place"),
        ("native/scan.pyx", "from queue cimport Queue", "no place"),
        ("native/engine.pyx", "import asyncio", "I/O libraries"),
        ("native/engine.pyx", "from sidecar.config import load", "package above"),
    ],
)
def test_a_fault_is_found(path: str, source: str, fault: str) -> None:
    assert [fault in line for line in faults(path, source)] == [True]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "native/engine.pyx",
            "from sidecar._native.server cimport Server\nfrom cpython.bytes cimport PyBytes_Size",
        ),
        ("native/scan.pyx", "from _wire cimport varint\nfrom scan cimport Items\nimport struct"),
        ("native/_otlp.pxd", "from _wire cimport varint"),
    ],
)
def test_what_is_allowed_is_no_fault(path: str, source: str) -> None:
    assert faults(path, source) == []
