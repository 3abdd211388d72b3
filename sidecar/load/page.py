"""One page over HTTP/1.1: asked for on a connection of its own, bounded in bytes.

On h11, which the admin has loaded anyway; aiohttp would cost the idle gateway 13 MB for these hundred lines.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple
from urllib.parse import urlsplit

import h11

from sidecar.errors import GrpcStatus, SpangateError
from sidecar.model import release

_PIECE_BYTES = 64 << 10
_PORTS = {"http": 80, "https": 443}


class Url(NamedTuple):
    """Where a page is."""

    scheme: str
    host: str
    port: int
    target: str
    """Path and query."""

    @classmethod
    def parse(cls, text: str) -> Url:
        """From `http://HOST[:PORT][/PATH][?QUERY]`, or https. ValueError says in a few words what is wrong with it."""
        parts = urlsplit(text)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("is no http:// or https:// URL with a host")
        if parts.username is not None:
            raise ValueError("has a user in it, whom logs would show")
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("has characters that must be percent-encoded")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], target)

    @property
    def authority(self) -> str:
        """As in the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


class Page(NamedTuple):
    """What the server answered. Redirects are answers like others."""

    status: int
    body: bytes


class PageUnreadable(SpangateError):
    """A server that answers, but not with a page."""

    grpc_status = GrpcStatus.UNAVAILABLE
    retryable = True


async def fetch(url: Url, limit_bytes: int) -> Page:
    """The page there. OSError when nobody answers, PageUnreadable for what is no HTTP or more than `limit_bytes`.

    It waits for ever on a server that says nothing: the caller has a timeout.
    """
    reader, writer = await asyncio.open_connection(url.host, url.port, ssl=url.scheme == "https" or None)
    try:
        return await _exchange(url, limit_bytes, reader, writer)
    except h11.RemoteProtocolError as error:
        raise PageUnreadable(f"no HTTP/1.1: {error}") from None
    finally:
        writer.transport.abort()  # nobody reads on: no goodbye is owed


async def _exchange(url: Url, limit_bytes: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Page:
    connection = h11.Connection(h11.CLIENT)
    headers = [
        ("Host", url.authority),
        ("User-Agent", f"spangate/{release()}"),
        ("Accept", "text/plain;version=0.0.4,*/*;q=0.1"),
        ("Connection", "close"),
    ]
    request = h11.Request(method="GET", target=url.target, headers=headers)
    writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    await writer.drain()
    status, body = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_PIECE_BYTES))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > limit_bytes:
                raise PageUnreadable(f"more than {limit_bytes} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return Page(status, bytes(body))
        elif isinstance(event, h11.ConnectionClosed):
            raise PageUnreadable("closed without an answer")
