"""What scan should find in a request: the same answer by a slow and readable way.

Structure and facts come from a walk in Python; where protobuf accepts the request too, its own classes have to agree.
"""

from dataclasses import dataclass, field

from tests.kernels.otlp import (
    ITEM_BAD_ID,
    ITEM_ERROR,
    ITEM_RANDOM,
    ITEM_STATE,
    ITEM_STATE_TWICE,
    LOGS,
    METRICS,
    OLD_SCOPES,
    PROFILES,
    TRACES,
)
from tests.kernels.wire import FIXED64, LEN, VARINT, Field, fields, read_varint

TRACE_ID = {TRACES: 1, LOGS: 9}
TRACE_STATE, STATUS = 3, 15
POINTS = {5, 7, 9, 10, 11}
VALUE_TYPES = {1: LEN, 2: VARINT, 3: VARINT, 4: FIXED64, 5: LEN, 6: LEN, 7: LEN, 8: VARINT}


@dataclass
class Item:
    off: int
    content: int
    end: int
    flags: int = 0
    rand: int = 0
    trace_id: bytes = b""
    state: tuple[int, int] = (0, 0)
    units: int = 1


@dataclass
class Part:
    """A scope, or a resource with its scopes."""

    off: int
    content: int
    end: int
    frags: list[tuple[int, int]] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    scopes: list["Part"] = field(default_factory=list)
    dropped: bool = False
    service: bytes = b"unknown_service"


@dataclass
class Found:
    """A whole request."""

    resources: list[Part]
    frags: list[tuple[int, int]]
    old_fields: int = 0


def scan(signal: int, b: bytes) -> Found:
    """MalformedError where the request is not well formed."""
    found = Found([], [])
    for f in fields(b):
        if (f.number, f.type) == (1, LEN):
            found.resources.append(Part(f.off, f.value, f.end))
        else:
            add_frag(found.frags, f)
    for part in found.resources:
        scan_resource(signal, b, part, found)
    return found


def add_frag(frags: list[tuple[int, int]], f: Field) -> None:
    if frags and frags[-1][1] == f.off:
        frags[-1] = (frags[-1][0], f.end)
    else:
        frags.append((f.off, f.end))


def scan_resource(signal: int, b: bytes, part: Part, found: Found) -> None:
    inside = list(fields(b, part.content, part.end))
    old = [f for f in inside if (f.number, f.type) == (OLD_SCOPES, LEN) and signal != PROFILES]
    scopes = [f for f in inside if (f.number, f.type) == (2, LEN)]
    for f in inside:
        if f not in (*scopes, *old):
            add_frag(part.frags, f)
    part.dropped = bool(old)
    if scopes:
        found.old_fields += len(old)
    part.scopes = [Part(f.off, f.value, f.end) for f in scopes or old]
    for scope in part.scopes:
        for f in fields(b, scope.content, scope.end):
            if (f.number, f.type) == (2, LEN):
                scope.items.append(scan_item(signal, b, f))
            else:
                add_frag(scope.frags, f)
    part.items = [item for scope in part.scopes for item in scope.items]
    part.service = service(b, [f for f in inside if (f.number, f.type) == (1, LEN)])


def service(b: bytes, messages: list[Field]) -> bytes:
    """The first attribute that is called service.name decides; nothing behind it is opened."""
    name: bytes | None = None
    for message in messages:
        for f in fields(b, message.value, message.end):
            if (f.number, f.type) != (1, LEN) or name is not None:
                continue
            key, value = attribute(b, f)
            if key == b"service.name":
                name = value
    return name or b"unknown_service"


def attribute(b: bytes, at: Field) -> tuple[bytes, bytes]:
    """The last key, and the string that the merged value is (nothing if it is none)."""
    key = value = b""
    for f in fields(b, at.value, at.end):
        if (f.number, f.type) == (1, LEN):
            key = b[f.value : f.end]
        elif (f.number, f.type) == (2, LEN):
            for member in fields(b, f.value, f.end):
                if VALUE_TYPES.get(member.number) == member.type:
                    value = b[member.value : member.end] if member.number == 1 else b""
    return key, value


def scan_item(signal: int, b: bytes, at: Field) -> Item:
    item = Item(at.off, at.value, at.end)
    inside = [f for f in fields(b, at.value, at.end) if f.type == LEN]
    for f in inside:
        if f.number == TRACE_ID.get(signal):
            item.trace_id = b[f.value : f.end]
        elif signal == TRACES and f.number == TRACE_STATE:
            item.flags |= ITEM_STATE_TWICE if item.flags & ITEM_STATE else ITEM_STATE
            item.state = (f.off, f.end)
    if len(item.trace_id) == 16 and any(item.trace_id):
        item.flags |= ITEM_RANDOM
        item.rand = int.from_bytes(item.trace_id[9:])
    elif len(item.trace_id) not in (0, 16):
        item.flags |= ITEM_BAD_ID
    if signal == TRACES and status(b, inside) == 2:
        item.flags |= ITEM_ERROR
    if signal == METRICS:
        item.units = points(b, inside)
    return item


def status(b: bytes, inside: list[Field]) -> int:
    """The code of all Status messages merged."""
    code = 0
    for message in inside:
        if message.number == STATUS:
            for f in fields(b, message.value, message.end):
                if (f.number, f.type) == (3, VARINT):
                    code = read_varint(b, f.value, f.end)[0] % (1 << 32)
    return code


def points(b: bytes, inside: list[Field]) -> int:
    """Data points of the member of the oneof that comes last; messages of it in a row merge."""
    kind, count = 0, 0
    for f in inside:
        if f.number in POINTS:
            here = sum((p.number, p.type) == (1, LEN) for p in fields(b, f.value, f.end))
            kind, count = f.number, here + (count if kind == f.number else 0)
    return count
