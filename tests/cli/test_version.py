import sys
from types import ModuleType

import pytest

from sidecar.cli import version
from sidecar.errors import Exit
from tests.cli.command_line import spangate


def test_a_checkout_that_is_not_built(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sidecar._native.server", None)
    ended = spangate(capsys, "version")
    assert (ended.code, ended.err) == (Exit.OK, "")
    assert "native      the native extension does not load" in ended.out
    assert "build it in the checkout: pip install -e ." in ended.out


def test_the_library_and_its_defences(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    server = ModuleType("sidecar._native.server")
    features = {
        "library": "1.52.0",
        "built_with": "1.52.0",
        "stream_reset_rate_limit": False,
        "continuation_limit": True,
    }
    monkeypatch.setattr(server, "nghttp2_features", lambda: features, raising=False)
    monkeypatch.setitem(sys.modules, "sidecar._native.server", server)
    assert spangate(capsys, "version").out.splitlines()[2:] == [
        "native      built",
        "libnghttp2  1.52.0",
        "            built with: 1.52.0",
        "            stream reset rate limit: no, counters of ours stand in",
        "            continuation limit: yes",
    ]


def test_an_extension_that_is_broken(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_name: str) -> ModuleType:
        raise ImportError("undefined symbol: nghttp2_session_x")

    monkeypatch.setattr(version, "import_module", broken)
    assert "undefined symbol" in spangate(capsys, "version").out
