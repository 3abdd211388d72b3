import asyncio
import http.client
import logging
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from time import monotonic

import pytest

from sidecar.admin.server import AdminServer, _bound
from sidecar.errors import Exit, PortTaken
from sidecar.model import Endpoint
from tests.admin.fake_fleet import FakeFleet
from tests.admin.fake_gateway import FakeGateway

ANY = Endpoint("127.0.0.1", 0)


@pytest.fixture
def taken() -> Iterator[Endpoint]:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield Endpoint("127.0.0.1", holder.getsockname()[1])


@pytest.fixture
async def bound() -> AsyncIterator[Endpoint]:
    """Where an admin listens."""
    server = AdminServer(FakeGateway(), FakeFleet(), ANY)
    yield await server.start()
    await server.stop()


async def said_to(bound: Endpoint, text: str) -> str:
    """All that comes back for `text` until the connection is closed."""
    reader, writer = await asyncio.open_connection(bound.host, bound.port)
    writer.write(text.encode())
    answer = await reader.read()
    writer.close()
    return answer.decode()


async def test_it_says_where_it_listens_and_stops() -> None:
    server = AdminServer(FakeGateway(), FakeFleet(), ANY)
    bound = await server.start()
    assert await asyncio.to_thread(_status, bound, "/healthz") == 200
    await server.stop()
    with pytest.raises(ConnectionRefusedError), socket.create_connection((bound.host, bound.port)):
        pass


def _status(bound: Endpoint, path: str) -> int:
    connection = http.client.HTTPConnection(bound.host, bound.port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


async def test_a_stop_right_after_the_start_stops_it() -> None:
    server = AdminServer(FakeGateway(), FakeFleet(), ANY)
    bound = await server.start()
    await server.stop()
    with pytest.raises(ConnectionRefusedError), socket.create_connection((bound.host, bound.port)):
        pass


async def test_an_answer_has_a_date_and_does_not_tell_by_whom(bound: Endpoint) -> None:
    answer = await said_to(bound, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition("\r\n\r\n")
    status, *headers = head.split("\r\n")
    assert (status, body) == ("HTTP/1.1 200 OK", "alive\n")
    named = sorted(header.partition(":")[0].lower() for header in headers)
    assert named == ["connection", "content-length", "content-type", "date"]


async def test_a_head_has_no_body(bound: Endpoint) -> None:
    answer = await said_to(bound, "HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert "content-length: 6\r\n" in answer
    assert answer.endswith("\r\n\r\n")


@pytest.mark.parametrize(
    "text",
    [
        "NONSENSE\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close, upgrade\r\nUpgrade: h2c\r\n\r\n",
    ],
)
async def test_the_mistakes_of_a_client_are_no_news(
    bound: Endpoint, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    with caplog.at_level(logging.WARNING):
        assert (await said_to(bound, text)).startswith("HTTP/1.1 ")
    assert caplog.records == []


async def test_it_stops_within_a_second_although_a_scraper_holds_its_connection() -> None:
    server = AdminServer(FakeGateway(), FakeFleet(), ANY)
    bound = await server.start()
    reader, writer = await asyncio.open_connection(bound.host, bound.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"alive\n")
    began_s = monotonic()
    await server.stop()
    assert monotonic() - began_s < 1
    assert await reader.read() == b""
    writer.close()


async def test_signals_stay_with_whoever_had_them() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    server = AdminServer(FakeGateway(), FakeFleet(), ANY)
    await server.start()
    await asyncio.sleep(0)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    await server.stop()


async def test_a_port_that_is_taken(taken: Endpoint) -> None:
    with pytest.raises(PortTaken) as caught:
        await AdminServer(FakeGateway(), FakeFleet(), taken).start()
    assert caught.value.message == f"cannot listen on {taken}: address already in use"
    assert "`admin.listen`" in caught.value.hint
    assert caught.value.exit_code is Exit.PORT_TAKEN


async def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(PortTaken, match=r"192\.0\.2\.1:1: cannot assign requested address"):
        await AdminServer(FakeGateway(), FakeFleet(), Endpoint("192.0.2.1", 1)).start()


def test_a_name_that_nobody_knows_is_told_in_the_words_of_the_resolver() -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert PortTaken.because("nobody:1", unknown).message == "cannot listen on nobody:1: name or service not known"


async def test_every_address_of_a_name_is_listened_at_or_none(monkeypatch: pytest.MonkeyPatch, taken: Endpoint) -> None:
    async def two(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, taken.port)) for address in ("127.0.0.2", taken.host)
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two)
    with pytest.raises(OSError, match="in use"):
        await _bound(Endpoint("two", taken.port))
    with socket.create_server(("127.0.0.2", taken.port)):
        pass


async def test_a_stop_without_a_start() -> None:
    await AdminServer(FakeGateway(), FakeFleet(), ANY).stop()
