"""The ways to a gateway's admin service, as somebody types them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.admin.remote import Remote
from sidecar.cli import region
from sidecar.cli.way import SOCKET_VARIABLE
from sidecar.config.load import Inputs, load
from sidecar.errors import Exit
from sidecar.model import Endpoint, Secret
from tests.admin.served import Served, served
from tests.cli.command_line import Ended, spangate
from tests.control.fleet_store import rate
from tests.harness.authority import Authority
from tests.harness.patience import free_port

TOKEN = "open sesame"
Capsys = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "ca")


@pytest.fixture(scope="module")
def token_file(authority: Authority) -> Path:
    path = Path(authority.file("token"))
    path.write_text(f"{TOKEN}\n")
    return path


@pytest.fixture(params=[False, True], ids=["token", "token and certificate"])
def remote(authority: Authority, request: pytest.FixtureRequest) -> Remote:
    listen = Endpoint("127.0.0.1", free_port())
    certificate, key = (Path(authority.file(f"server.{kind}")) for kind in ("crt", "key"))
    clients = Path(authority.file("ca.crt")) if request.param else None
    return Remote(listen, certificate, key, Secret(TOKEN), clients)


@pytest.fixture
def gateway(tmp_path: Path, remote: Remote) -> Iterator[Served]:
    with served(tmp_path / "admin.sock", remote) as gateway:
        yield gateway


@pytest.fixture
def over_tcp(authority: Authority, token_file: Path, remote: Remote) -> list[str]:
    """The options that lead to the gateway."""
    given = ["--admin-grpc", str(remote.listen), "--ca-file", authority.file("ca.crt"), "--token-file", str(token_file)]
    mine = ["--cert-file", authority.file("client.crt"), "--key-file", authority.file("client.key")]
    return [*given, *mine] if remote.client_ca_file else given


def regions(capsys: Capsys, *options: str) -> Ended:
    return spangate(capsys, "region", "list", *options)


def test_what_can_be_done_from_another_machine(
    capsys: Capsys, gateway: Served, over_tcp: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(rate(0.1))
    assert spangate(capsys, "config", "apply", str(file), *over_tcp).code == Exit.OK
    assert spangate(capsys, "config", "get", *over_tcp).out == rate(0.1)
    assert regions(capsys, *over_tcp).err == "there is no region yet\n"


def test_the_environment_knows_the_way(
    capsys: Capsys, gateway: Served, over_tcp: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for option, value in zip(over_tcp[::2], over_tcp[1::2], strict=True):
        variable = "SPANGATE_ADMIN" + option.removeprefix("--admin").replace("--", "-").replace("-", "_").upper()
        monkeypatch.setenv(variable, value)
    assert regions(capsys).code == Exit.OK
    monkeypatch.setenv("SPANGATE_ADMIN_GRPC", f"127.0.0.1:{free_port()}")
    assert regions(capsys).code == Exit.UNREACHABLE
    assert regions(capsys, "--admin-socket", str(gateway.path)).code == Exit.OK, "what was typed is first"


def test_a_gateway_does_not_wonder_about_those_variables() -> None:
    variables = [option.envvar for option in region.command.commands["list"].params]
    environment = {name: "x" for name in variables if isinstance(name, str) and name != SOCKET_VARIABLE}
    assert len(environment) == 5
    assert load(Inputs(environment=environment)).warnings == ()


def test_a_token_that_is_another(capsys: Capsys, gateway: Served, over_tcp: list[str], tmp_path: Path) -> None:
    wrong = tmp_path / "token"
    wrong.write_text("guess")
    ended = regions(capsys, *over_tcp, "--token-file", str(wrong))
    assert ended.code == Exit.USAGE
    assert ended.err.startswith("error: the gateway at 127.0.0.1:")
    assert "does not know this token\nhint: --token-file" in ended.err


def test_a_certificate_that_somebody_else_has_signed(
    capsys: Capsys, gateway: Served, over_tcp: list[str], tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "stranger")
    ended = regions(capsys, *over_tcp, "--ca-file", stranger.file("ca.crt"))
    assert ended.code == Exit.UNREACHABLE
    assert "its certificate does not do" in ended.err
    assert "hint: --ca-file names who has signed it" in ended.err


def test_a_caller_without_a_certificate_where_one_is_asked_for(
    capsys: Capsys, gateway: Served, remote: Remote, over_tcp: list[str]
) -> None:
    ended = regions(capsys, *over_tcp[:6])
    assert ended.code == (Exit.UNREACHABLE if remote.client_ca_file else Exit.OK)
    assert not remote.client_ca_file or "it hangs up\nhint: where it asks callers" in ended.err


def test_a_certificate_of_another_name(capsys: Capsys, gateway: Served, over_tcp: list[str], remote: Remote) -> None:
    ended = regions(capsys, *over_tcp, "--admin-grpc", f"localhost:{remote.listen.port}")
    assert "its certificate is of another name" in ended.err


def test_nobody_at_the_address(capsys: Capsys, over_tcp: list[str]) -> None:
    ended = regions(capsys, *over_tcp)
    assert ended.code == Exit.UNREACHABLE
    assert "connection refused\nhint: --admin-grpc is the address" in ended.err


def test_a_port_that_speaks_no_tls(capsys: Capsys, admin: Endpoint, over_tcp: list[str]) -> None:
    ended = regions(capsys, *over_tcp, "--admin-grpc", str(admin))
    assert ended.code == Exit.UNREACHABLE
    assert "it speaks no TLS" in ended.err


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--admin-grpc", "a:1"], "--admin-grpc needs --token-file"),
        (["--admin-grpc", "a"], "invalid value for '--admin-grpc': 'a' has no port"),
        (["--ca-file", "x"], "--ca-file needs --admin-grpc"),
        (["--admin-grpc", "a:1", "--admin-socket", "s"], "--admin-grpc is of the way over TCP"),
        (["--admin-grpc", "a:1", "--token-file", "t", "--key-file", "k"], "--cert-file and --key-file go together"),
        (["--admin-grpc", "a:1", "--token-file", "/nowhere/token"], "the configuration has a problem"),
    ],
)
def test_a_way_that_leads_nowhere(capsys: Capsys, options: list[str], error: str) -> None:
    ended = regions(capsys, *options)
    assert ended.code == Exit.USAGE
    assert ended.err.startswith(f"error: {error}")


def test_a_file_without_a_token(capsys: Capsys, tmp_path: Path) -> None:
    empty = tmp_path / "token"
    empty.write_text("\n")
    ended = regions(capsys, "--admin-grpc", "a:1", "--token-file", str(empty))
    assert ended.err.splitlines()[1:] == [f"  --token-file: {empty} holds no token", "    hint: one line of ASCII"]
