import json
import time

import pytest

from sidecar.coord.store import StoreUnavailable
from sidecar.errors import Exit
from sidecar.model import Endpoint
from tests.admin.fake_fleet import FakeFleet
from tests.cli.command_line import spangate

Capsys = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_a_look(capsys: Capsys, admin: Endpoint) -> None:
    ended = spangate(capsys, "topology", "--admin", str(admin))
    assert (ended.code, ended.err) == (Exit.OK, "")
    assert ended.out.startswith("fleet  led by g1")


def test_json_for_scripts(capsys: Capsys, admin: Endpoint) -> None:
    answer = json.loads(spangate(capsys, "topology", "--json", "--admin", str(admin)).out)
    assert [region["name"] for region in answer["regions"]] == ["eu"]


def test_a_store_that_does_not_answer(capsys: Capsys, admin: Endpoint, fleet: FakeFleet) -> None:
    fleet.trouble = StoreUnavailable("etcd at a:2379: no answer within 5 s", "is it there?")
    for command in (["topology"], ["topology", "--json"], ["best"]):
        ended = spangate(capsys, *command, "--admin", str(admin))
        assert ended == (Exit.STORE, "", "error: etcd at a:2379: no answer within 5 s\nhint: is it there?\n")


def test_watching_goes_on_without_the_store(
    capsys: Capsys, admin: Endpoint, fleet: FakeFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = iter(range(2))

    def sleep(_seconds: float) -> None:
        if next(pauses):
            raise KeyboardInterrupt
        fleet.trouble = StoreUnavailable("etcd has gone")

    monkeypatch.setattr(time, "sleep", sleep)
    ended = spangate(capsys, "topology", "--watch", "--admin", str(admin))
    assert ended.code == Exit.OK
    assert "etcd has gone" in ended.out
