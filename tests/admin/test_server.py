import socket
from collections.abc import Iterator

import aiohttp
import pytest

from sidecar.admin.server import AdminServer, _reason
from sidecar.errors import Exit, PortTaken
from sidecar.model import Endpoint
from tests.admin.fake_gateway import FakeGateway

ANY = Endpoint("127.0.0.1", 0)


@pytest.fixture
def taken() -> Iterator[Endpoint]:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield Endpoint("127.0.0.1", holder.getsockname()[1])


async def test_it_says_where_it_listens_and_stops() -> None:
    server = AdminServer(FakeGateway(), ANY)
    bound = await server.start()
    async with aiohttp.ClientSession() as session, session.get(f"http://{bound}/healthz") as answer:
        assert answer.status == 200
    await server.stop()
    with pytest.raises(ConnectionRefusedError), socket.create_connection((bound.host, bound.port)):
        pass


async def test_a_port_that_is_taken(taken: Endpoint) -> None:
    with pytest.raises(PortTaken) as caught:
        await AdminServer(FakeGateway(), taken).start()
    assert caught.value.message == f"cannot listen on {taken}: address already in use"
    assert "`admin.listen`" in caught.value.hint
    assert caught.value.exit_code is Exit.PORT_TAKEN


async def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(PortTaken, match=r"192\.0\.2\.1:1: cannot assign requested address"):
        await AdminServer(FakeGateway(), Endpoint("192.0.2.1", 1)).start()


def test_a_name_that_nobody_knows_is_told_in_the_words_of_the_resolver() -> None:
    assert _reason(socket.gaierror(socket.EAI_NONAME, "Name or service not known")) == "name or service not known"


async def test_a_stop_without_a_start() -> None:
    await AdminServer(FakeGateway(), ANY).stop()
