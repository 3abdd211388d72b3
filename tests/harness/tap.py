"""gRPC messages out of the bytes of an HTTP/2 connection: DATA frames tell all; HPACK is not needed for that."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, PADDED = 0, 8


class Message(NamedTuple):
    """A message as it travelled."""

    compressed: bool
    body: bytes


def messages(connections: Iterable[bytes | bytearray]) -> list[Message]:
    """What clients sent over these connections, as far as it is whole."""
    return [message for sent in connections for data in _streams(bytes(sent)).values() for message in _messages(data)]


def bodies(connections: Iterable[bytes | bytearray]) -> list[bytes]:
    """The same, decompressed and without how it travelled."""
    return [message.body for message in messages(connections)]


def _streams(sent: bytes) -> dict[int, bytes]:
    assert sent.startswith(PREFACE)
    at, found = len(PREFACE), dict[int, bytes]()
    while at + 9 <= len(sent):
        size = int.from_bytes(sent[at : at + 3])
        kind, flags, stream = struct.unpack_from(">BBI", sent, at + 3)
        content = sent[at + 9 : at + 9 + size]
        if kind == DATA:
            if flags & PADDED:
                content = content[1 : len(content) - content[0]]
            found[stream] = found.get(stream, b"") + content
        at += 9 + size
    return found


def _messages(data: bytes) -> Iterable[Message]:
    at = 0
    while at + 5 <= len(data):
        compressed, size = struct.unpack_from(">?I", data, at)
        body = data[at + 5 : at + 5 + size]
        if len(body) == size:
            yield Message(compressed, gzip.decompress(body) if compressed else body)
        at += 5 + size
