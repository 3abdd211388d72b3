import sys
from importlib import import_module

import pytest

from sidecar.telemetry.absent import absent


@pytest.fixture(autouse=True)
def _colorsys_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)


def test_what_is_absent_cannot_be_imported_and_is_there_again_after() -> None:
    with absent("colorsys"), pytest.raises(ModuleNotFoundError):
        import_module("colorsys")
    assert import_module("colorsys").__name__ == "colorsys"


def test_it_is_there_again_after_a_failure_too() -> None:
    with pytest.raises(ZeroDivisionError), absent("colorsys"):
        assert 1 / 0
    assert import_module("colorsys").__name__ == "colorsys"


def test_what_is_loaded_stays() -> None:
    loaded = import_module("colorsys")
    with absent("colorsys"):
        assert import_module("colorsys") is loaded
    assert sys.modules["colorsys"] is loaded
