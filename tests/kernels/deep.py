"""Why protobuf refuses a request that we take: a walk to the bottom, by protobuf's own descriptors."""

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from tests.kernels.otlp import REQUESTS
from tests.kernels.wire import FIXED32, FIXED64, LEN, VARINT, Field, MalformedError, fields, read_varint

DEPTH = 100  # protobuf's own limit, less what groups inside may add
WIRE = {
    **dict.fromkeys(("int32", "int64", "uint32", "uint64", "sint32", "sint64", "bool", "enum"), VARINT),
    **dict.fromkeys(("double", "fixed64", "sfixed64"), FIXED64),
    **dict.fromkeys(("float", "fixed32", "sfixed32"), FIXED32),
}
NAMES = {getattr(FieldDescriptor, f"TYPE_{name.upper()}"): name for name in (*WIRE, "string", "bytes", "message")}


class RefusedError(Exception):
    """protobuf would refuse this; the words say for what."""


def excuse(signal: int, body: bytes) -> str | None:
    """utf8, depth, or inside: damage in a message that we do not open. None: protobuf should accept it."""
    try:
        walk(descriptor(REQUESTS[signal]), body, 0, len(body), 1)
    except RefusedError as e:
        return str(e)
    except MalformedError:
        return "inside"
    return None


def descriptor(message: type[Message]) -> Descriptor:
    found: Descriptor = message.DESCRIPTOR  # type: ignore[assignment]
    return found


def walk(message: Descriptor, b: bytes, at: int, end: int, depth: int) -> None:
    for f in fields(b, at, end):
        deepest(b, f, depth)
        known = message.fields_by_number.get(f.number)
        if known is None:
            continue
        name = NAMES[known.type]
        if name in WIRE:
            if f.type == LEN and known.is_repeated:
                packed(b, f, WIRE[name])
        elif f.type != LEN:
            continue
        elif name == "string":
            try:
                b[f.value : f.end].decode()
            except UnicodeDecodeError:
                raise RefusedError("utf8") from None
        elif name == "message" and known.message_type is not None:
            if depth >= DEPTH - 1:
                raise RefusedError("depth")
            walk(known.message_type, b, f.value, f.end, depth + 1)


def deepest(b: bytes, f: Field, depth: int) -> None:
    """Groups count like messages."""
    if f.type != 3:
        return
    at, groups, most = f.off, 0, 0
    while at < f.end:
        tag, at = read_varint(b, at, f.end, 5)
        groups += {3: 1, 4: -1}.get(tag & 7, 0)
        most = max(most, groups)
        if tag & 7 == VARINT:
            _, at = read_varint(b, at, f.end)
        elif tag & 7 == LEN:
            size, at = read_varint(b, at, f.end, 5)
            at += size
        else:
            at += {FIXED64: 8, FIXED32: 4}.get(tag & 7, 0)
    if depth + most > DEPTH - 1:
        raise RefusedError("depth")


def packed(b: bytes, f: Field, kind: int) -> None:
    at = f.value
    if kind == VARINT:
        while at < f.end:
            _, at = read_varint(b, at, f.end)
    elif (f.end - f.value) % (8 if kind == FIXED64 else 4):
        raise MalformedError("a packed field of a length that its numbers have not")
