"""The way in over TCP."""

import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from sidecar.admin.remote import Remote
from sidecar.admin.service import AdminService
from sidecar.admin.v1 import admin_pb2 as pb
from sidecar.errors import ConfigInvalid, PortTaken
from sidecar.model import Endpoint, Secret
from tests.control.fleet_store import desk
from tests.harness.patience import free_port

TOKEN = "open sesame"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate of localhost, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout key.pem -out cert.pem"
    )
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command.split(), *names], cwd=folder, check=True, capture_output=True, timeout=20)
    return folder


@pytest.fixture
async def address(certificate: Path, tmp_path: Path) -> AsyncIterator[str]:
    listen = Endpoint("127.0.0.1", free_port())
    remote = Remote(listen, certificate / "cert.pem", certificate / "key.pem", Secret(TOKEN))
    async with desk() as (one, _):
        service = AdminService(one, tmp_path / "sock", remote=remote)
        await service.start()
        yield str(listen)
        await service.stop()


def left(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def regions(channel: grpc.aio.Channel, *metadata: tuple[str, str]) -> pb.ListRegionsResponse:
    send = channel.unary_unary(
        "/spangate.v1.Fleet/ListRegions",
        request_serializer=pb.ListRegionsRequest.SerializeToString,
        response_deserializer=pb.ListRegionsResponse.FromString,
    )
    async with channel:
        return await send(pb.ListRegionsRequest(), timeout=10, metadata=metadata)


def secure(address: str, certificate: Path) -> grpc.aio.Channel:
    credentials = grpc.ssl_channel_credentials((certificate / "cert.pem").read_bytes())
    return grpc.aio.secure_channel(address, credentials)


async def test_who_has_the_token_is_let_in(address: str, certificate: Path) -> None:
    answer = await regions(secure(address, certificate), ("authorization", f"Bearer {TOKEN}"))
    assert list(answer.regions) == []


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer guess"),), (("authorization", TOKEN),)])
async def test_who_has_not_is_turned_away(
    address: str, certificate: Path, metadata: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await regions(secure(address, certificate), *metadata)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_without_tls_there_is_no_way_in(address: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await regions(grpc.aio.insecure_channel(address), ("authorization", f"Bearer {TOKEN}"))
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_who_is_at_the_socket_needs_no_token(address: str, tmp_path: Path) -> None:
    assert list((await regions(grpc.aio.insecure_channel(f"unix:{tmp_path}/sock"))).regions) == []


async def test_what_keeps_it_from_listening(certificate: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = Endpoint("127.0.0.1", taken.getsockname()[1])
        good = Remote(listen, certificate / "cert.pem", certificate / "key.pem", Secret(TOKEN))
        async with desk() as (one, _):
            service = AdminService(one, tmp_path / "sock", remote=good)
            with pytest.raises(PortTaken):
                await service.start()
            service = AdminService(one, tmp_path / "sock", remote=good._replace(key_file=tmp_path / "none"))
            with pytest.raises(ConfigInvalid) as refused:
                await service.start()
    assert refused.value.problems[0].path == "admin.grpc.key_file"
    assert left(tmp_path) == []
