from __future__ import annotations

import asyncio

import pytest

from sidecar.load.page import Page, PageUnreadable, Url, fetch
from tests.load.server import Server, answer, nowhere

LIMIT_BYTES = 1 << 20


@pytest.mark.parametrize(
    ("text", "url", "authority"),
    [
        ("http://collector:8888/metrics", Url("http", "collector", 8888, "/metrics"), "collector:8888"),
        ("http://collector", Url("http", "collector", 80, "/"), "collector"),
        ("https://[::1]/a?b=c&d", Url("https", "::1", 443, "/a?b=c&d"), "[::1]"),
        ("http://10.0.0.1:1?x", Url("http", "10.0.0.1", 1, "/?x"), "10.0.0.1:1"),
    ],
)
def test_urls(text: str, url: Url, authority: str) -> None:
    assert Url.parse(text) == url
    assert url.authority == authority


@pytest.mark.parametrize(
    "text",
    ["", "collector:8888", "ftp://a/b", "http://", "http:///path", "http://user:secret@a/", "http://a/b c", "http://a/\n",
     "http://a:99999/", "http://a:x/", "http://ä/"],
)  # fmt: skip
def test_what_is_no_url(text: str) -> None:
    with pytest.raises(ValueError, match=" ") as raised:
        Url.parse(text)
    assert "secret" not in str(raised.value)


async def got(server: Server, limit_bytes: int = LIMIT_BYTES) -> Page:
    return await fetch(Url.parse(server.url), limit_bytes)


async def test_a_page() -> None:
    with Server(answer("up 1\n")) as server:
        assert await got(server) == Page(200, b"up 1\n")
    request = server.requests[0]
    assert request.startswith(b"GET /metrics HTTP/1.1\r\n")
    assert f"host: 127.0.0.1:{server.endpoint.port}".encode() in request.lower()


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nup \r\n2\r\n1\n\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer("up 1\n"),
        b"HTTP/1.0 200 OK\r\n\r\nup 1\n",
        answer("up 1\n", "200 OK", "Server: x") + b"and what nobody has asked for",
    ],
    ids=["chunked", "informational", "to the end", "too long"],
)
async def test_ways_to_send_a_page(response: bytes) -> None:
    with Server(response) as server:
        assert await got(server) == Page(200, b"up 1\n")


@pytest.mark.parametrize("status", ["404 Not Found", "503 Service Unavailable", "302 Found"])
async def test_other_answers_are_answers(status: str) -> None:
    with Server(answer("why", status, "Location: http://127.0.0.1:1/")) as server:
        assert (await got(server)).status == int(status[:3])


async def test_a_page_of_exactly_the_limit_and_one_byte_more() -> None:
    with Server(answer(b"x" * 1000)) as server:
        assert len((await got(server, 1000)).body) == 1000
        with pytest.raises(PageUnreadable, match="more than 999 bytes"):
            await got(server, 999)


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: " + b"b" * 100_000 + b"\r\n\r\n",
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    ],
    ids=["nothing", "half a head", "half a body", "ssh", "h2 preface", "endless head", "h2 frame"],
)
async def test_what_is_no_page(response: bytes) -> None:
    with Server(response) as server, pytest.raises(PageUnreadable):
        await got(server)


async def test_nobody_there() -> None:
    with pytest.raises(ConnectionRefusedError):
        await fetch(Url.parse(f"http://{nowhere()}/"), LIMIT_BYTES)


async def test_one_who_says_nothing_costs_the_time_of_the_caller_and_no_connection() -> None:
    with Server(None) as server, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await got(server)
