"""The protobuf wire format in Python, as strict as upb: what is a message's framing, and what is not."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

VARINT, FIXED64, LEN, GROUP, END_GROUP, FIXED32 = range(6)
MOST_GROUPS = 100


class MalformedError(Exception):
    """The bytes are no message."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message: offsets of its tag, of what follows the tag (and the length), and of its end."""

    number: int
    type: int
    off: int
    value: int
    end: int


def read_varint(b: bytes, at: int, end: int, most: int = 10) -> tuple[int, int]:
    """The value, and where it ends."""
    v = 0
    for i in range(most):
        if at + i >= end:
            raise MalformedError("truncated varint")
        byte = b[at + i]
        v |= (byte & 127) << 7 * i
        if byte < 128:
            return v % (1 << 64), at + i + 1
    raise MalformedError(f"a varint of more than {most} bytes")


def read_tag(b: bytes, at: int, end: int, least: int = 1) -> tuple[int, int, int]:
    """Field number, wire type, and where the tag ends."""
    tag, at = read_varint(b, at, end, 5)
    if tag >> 32 or tag >> 3 < least:
        raise MalformedError("no such field number")
    return tag >> 3, tag & 7, at


def fields(b: bytes, at: int = 0, end: int | None = None) -> Iterator[Field]:
    """The fields of the message at b[at:end]; what is inside their values is not looked at, but for groups."""
    stop = len(b) if end is None else end
    while at < stop:
        off = at
        number, kind, at = read_tag(b, at, stop)
        value, at = skip_value(b, at, stop, number, kind)
        yield Field(number, kind, off, value, at)


def skip_value(b: bytes, at: int, end: int, number: int, kind: int, *, depth: int = 1) -> tuple[int, int]:
    """Where the value proper begins, and where it ends."""
    value = at
    if kind == VARINT:
        _, at = read_varint(b, at, end)
    elif kind == LEN:
        size, value = read_varint(b, at, end, 5)
        at = value + size
    elif kind == FIXED64:
        at += 8
    elif kind == FIXED32:
        at += 4
    elif kind == GROUP:
        at = skip_group(b, at, end, number, depth)
    else:
        raise MalformedError("an end of no group, or a wire type that there is not")
    if at > end:
        raise MalformedError("past the end")
    return value, at


def skip_group(b: bytes, at: int, end: int, number: int, depth: int) -> int:
    if depth > MOST_GROUPS:
        raise MalformedError("groups too deep")
    while at < end:
        inner, kind, at = read_tag(b, at, end, 0)  # which upb takes inside a group
        if kind == END_GROUP:
            if inner != number:
                raise MalformedError("a group that another one's end closes")
            return at
        _, at = skip_value(b, at, end, inner, kind, depth=depth + 1)
    raise MalformedError("a group without an end")


def varint(v: int, size: int = 0) -> bytes:
    """The shortest varint, or one of `size` bytes if that is longer."""
    out = bytearray()
    while v > 127 or len(out) + 1 < size:
        out.append(v & 127 | 128)
        v >>= 7
    out.append(v)
    return bytes(out)


def field(number: int, content: bytes | int, kind: int | None = None) -> bytes:
    """A field in its shortest form: bytes are length-delimited, numbers varints, if not told otherwise."""
    wire_type = kind if kind is not None else VARINT if isinstance(content, int) else LEN
    tag = varint(number << 3 | wire_type)
    if isinstance(content, bytes):
        return tag + varint(len(content)) + content if wire_type == LEN else tag + content
    if wire_type == VARINT:
        return tag + varint(content % (1 << 64))
    return tag + struct.pack("<Q" if wire_type == FIXED64 else "<I", content)
