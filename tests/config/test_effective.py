from pathlib import Path

import pytest

from sidecar.config.effective import effective
from sidecar.config.load import Inputs, load
from sidecar.model import Secret
from sidecar.snapshot import SettingValue
from tests.config.files import loaded

SECRET = "open-sesame"
TEXT = f"backends: [{{address: a:1, headers: {{api-key: {SECRET}}}}}, b:1]\nbatch: {{pacing: 200us}}\n"


def test_every_value_and_its_place(tmp_path: Path) -> None:
    answer = loaded(tmp_path, TEXT, SPANGATE_LIMITS_MEMORY_BYTES="256MiB")
    shown = {value.path: value for value in effective(answer.config, answer.sources)}
    place = str(tmp_path / "spangate.yaml")
    assert shown["batch.pacing"] == SettingValue("batch.pacing", "200us", "file", f"{place}:2")
    assert shown["limits.memory_bytes"] == SettingValue(
        "limits.memory_bytes", "256MiB", "environment", "SPANGATE_LIMITS_MEMORY_BYTES"
    )
    assert shown["listen"] == SettingValue("listen", ["127.0.0.1:4317"], "default")
    assert shown["delivery.may_duplicate_on_reset"].value is True
    assert shown["backends[1].address"] == SettingValue("backends[1].address", "b:1", "file", f"{place}:1")
    assert shown["backends[1].weight"] == SettingValue("backends[1].weight", 1, "default")
    assert shown["backends[1].compression"].value is None
    assert shown["backends[0].headers.api-key"].value == "***"


def test_no_dump_shows_a_secret(tmp_path: Path) -> None:
    answer = loaded(tmp_path, TEXT)
    rich = pytest.importorskip("rich.pretty")
    for dump in (
        repr(answer),
        str(answer.config),
        str(effective(answer.config, answer.sources)),
        rich.pretty_repr(answer),
    ):
        assert SECRET not in dump
    assert answer.config.backends[0].headers["api-key"] == Secret(SECRET)


def test_what_the_store_has_set_is_said(tmp_path: Path) -> None:
    answer = loaded(tmp_path, TEXT)
    shown = {value.path: value for value in effective(answer.config, answer.sources, {"batch.pacing": "regions/eu v3"})}
    assert shown["batch.pacing"] == SettingValue("batch.pacing", "200us", "store", "regions/eu v3")
    assert shown["batch.max_wait"].source == "default"


def test_what_is_shown_of_a_default_gateway_is_stable() -> None:
    answer = load(Inputs())
    assert {value.source for value in effective(answer.config, answer.sources)} == {"default"}
