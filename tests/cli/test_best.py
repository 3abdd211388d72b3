import json

import pytest

from sidecar.errors import Exit
from sidecar.model import Endpoint
from tests.cli.command_line import spangate

Capsys = pytest.CaptureFixture[str]


def test_the_best_one_and_the_others(capsys: Capsys, admin: Endpoint) -> None:
    ended = spangate(capsys, "best", "--admin", str(admin))
    assert ended.code == Exit.OK
    best, first, second = ended.out.splitlines()
    assert best.startswith("a at ")
    assert best.endswith(" in eu: the highest score in eu")
    assert first.split()[:2] == ["a", "eu"]
    assert second.split()[:2] == ["b", "eu"]
    assert second.endswith("refused")


def test_other_weights(capsys: Capsys, admin: Endpoint) -> None:
    command = ("best", "--json", "--admin", str(admin), "--weights")
    by_capacity = json.loads(spangate(capsys, *command, "load=0,latency=0,capacity=1").out)
    assert by_capacity["best"]["score"] == 0.5
    ended = spangate(capsys, *command, "speed=1")
    assert (ended.code, ended.err) == (
        Exit.USAGE,
        "error: no weight: 'speed=1'\nhint: write load=0.7,latency=0.3,capacity=0\n",
    )
    assert spangate(capsys, *command, "load=2").err == "error: a weight is from 0 to 1, not 2\n"


def test_nobody_to_send_to(capsys: Capsys, admin: Endpoint) -> None:
    ended = spangate(capsys, "best", "--region", "mars", "--admin", str(admin))
    assert (ended.code, ended.out) == (Exit.NO_BACKEND, "there is no region mars\n")
