from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.cli.way import SOCKET_VARIABLE
from sidecar.errors import Exit
from tests.admin.served import Served, served
from tests.cli.command_line import spangate
from tests.control.fleet_store import LOCAL, announce, collector

Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with served(tmp_path / "admin.sock") as gateway:
        monkeypatch.setenv(SOCKET_VARIABLE, str(gateway.path))
        yield gateway


def listed(capsys: Capsys) -> list[list[str]]:
    return [line.split() for line in spangate(capsys, "region", "list").out.splitlines()[1:]]


def test_create_list_delete(capsys: Capsys, gateway: Served) -> None:
    assert spangate(capsys, "region", "list").err == "there is no region yet\n"
    assert spangate(capsys, "region", "create", "eu") == (Exit.OK, "region eu is created\n", "")
    assert listed(capsys) == [["eu", "0", "0", "-", "by", "hand"]]
    assert spangate(capsys, "region", "delete", "eu") == (Exit.OK, "region eu is deleted\n", "")
    assert listed(capsys) == []


def test_who_is_in_it(capsys: Capsys, gateway: Served) -> None:
    gateway.do(announce(gateway.store, "gw-1", "eu"))
    gateway.do(gateway.desk.regions.register(collector("c-1"), 15))
    gateway.do(gateway.desk.apply("regions/eu", LOCAL, author="ann"))
    assert listed(capsys) == [["eu", "1", "1", "1", "by", "registration"]]


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["create", "eu"], Exit.REFUSED, "error: region eu has been created already"),
        (["create", "a/b"], Exit.USAGE, "error: no region: 'a/b' is no name"),
        (["delete", "us"], Exit.REFUSED, "error: there is no region us"),
        (["delete", "eu"], Exit.REFUSED, "error: region eu is in use: gw-1 are registered in it"),
    ],
)
def test_what_is_refused(capsys: Capsys, gateway: Served, arguments: list[str], code: Exit, error: str) -> None:
    gateway.do(gateway.desk.regions.create("eu"))
    gateway.do(announce(gateway.store, "gw-1", "eu"))
    ended = spangate(capsys, "region", *arguments)
    assert ended.code == code
    assert ended.err.startswith(error)


def test_force(capsys: Capsys, gateway: Served) -> None:
    gateway.do(announce(gateway.store, "gw-1", "eu"))
    assert spangate(capsys, "region", "delete", "eu", "--force").code == Exit.OK


@pytest.mark.parametrize("command", ["create", "list", "delete"])
def test_every_command_teaches(capsys: Capsys, command: str) -> None:
    ended = spangate(capsys, "region", command, "--help")
    assert f"spangate region {command}" in ended.out.partition("Example")[2]
