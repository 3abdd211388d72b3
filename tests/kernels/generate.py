"""Random requests from a seed: valid ones in every odd encoding that protobuf allows, and damaged ones.

A message is a list of (field number, content): bytes, numbers, or the list of a message inside.
"""

import random
import struct
from collections.abc import Callable
from typing import TypeAlias

from tests.kernels.otlp import LOGS, METRICS, OLD_SCOPES, PROFILES, TRACES
from tests.kernels.wire import FIXED32, FIXED64, GROUP, LEN, VARINT, field, varint

Content: TypeAlias = "bytes | int | float | Message"
Message: TypeAlias = list[tuple[int, Content]]

NAMES = ["service.name"] * 3 + ["service.namespace", "host.name", "", "service.nam\xe9", "a" * 130]
SERVICES = ["cart", "checkout", "", "pay" * 30, "kasse-\xe4", "x" * 255, "x" * 256 + "y", "x" * 256 + "z"]
STATES = [
    "", "ot=th:8", "ot=th:0", "ot=th:c;rv:f0000000000000", "ot=rv:00000000000000", "ot=rv:80000000000000",
    "ot=th:fff;rv:ffffffffffffff;x:y", "ot=th:", "ot=th:$", "ot=th:-1",
    "ot=:1", "ot=X:1", "ot=x:", "ot=th:1;", "ot=th:123456789abcdef", "ot=th:1000",
    "ot=th:8,ot=th:c", "ot=th:8;th:8", "ot=", "ot", "ot=rv:123", "ot=rv:F0000000000000;th:8", "congo=t61rcWkgMzE",
    "a=1,b=2", "a=1, ot=th:4 ,b=2", "\ta=1\t,,b=2,", "a=1,=2,ot=th:8", "A=1,ot=th:8", "a@b=1,ot=th:8", "a=,ot=th:8",
    "a=1=2,ot=th:8", ",".join(f"k{i}={i}" for i in range(31)), ",".join(f"k{i}={i}" for i in range(32)),
    ",".join(f"k{i}={i}" for i in range(33)), "ot=th:8," + ",".join(f"k{i}={i}" for i in range(31)),
    "ot=x:" + "y" * 240, "ot=x:" + "y" * 251, "ot=x:" + "y" * 252, "a=" + "v" * 256, "a=" + "v" * 257,
    "a" * 256 + "=1", "a" * 257 + "=1", "a=\xe4", "a=b\x00", "ot=th:7fffffffffffff", "ot=th:a;a:b;c:d;e:",
]  # fmt: skip


class Maker:
    """Makes requests from one stream of random numbers."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.odd = rng.choice([0.0, 0.0, 0.02, 0.2])  # how often an encoding is not the shortest
        self.trace_ids = [rng.randbytes(16) for _ in range(3)] + [bytes(9) + b"\x80" + bytes(6)]

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    # ---- contents

    def any_value(self, depth: int = 0) -> Message:
        r = self.rng
        members: list[tuple[int, Callable[[], Content]]] = [
            (1, lambda: r.choice(SERVICES).encode()),
            (2, lambda: r.randrange(2)),
            (3, lambda: r.choice([0, 1, -1, 1 << 63])),
            (4, r.random),
            (7, lambda: r.randbytes(3)),
            (8, lambda: r.randrange(9)),
        ]
        if depth < 3:
            members += [(5, lambda: [(1, self.any_value(depth + 1))]), (6, lambda: [(1, self.attribute(depth + 1))])]
        chosen = r.choices(members, k=r.choice([0, 1, 1, 1, 2])) if self.chance(0.3) else members[:1]
        return [(number, make()) for number, make in chosen]

    def attribute(self, depth: int = 0) -> Message:
        key = self.rng.choice(NAMES).encode()
        out: Message = [(1, key), (2, self.any_value(depth))]
        if self.chance(0.1):
            out.append((2, self.any_value(depth)))
        if self.chance(0.05):
            out.append((1, self.rng.choice(NAMES).encode()))
        return out

    def trace_id(self) -> bytes:
        if self.chance(0.9):
            return self.rng.choice(self.trace_ids)
        return self.rng.choice([b"", bytes(16), self.rng.randbytes(15), self.rng.randbytes(17), self.rng.randbytes(8)])

    def span(self) -> Message:
        r = self.rng
        out: Message = [
            (1, self.trace_id()),
            (2, r.randbytes(8)),
            (4, r.randbytes(8)),
            (5, b"GET /" + b"x" * r.randrange(9)),
        ]
        out += [(6, r.randrange(6)), (7, float(r.random())), (8, float(r.random()))]
        out += [(9, self.attribute()) for _ in range(r.randrange(4))]
        if self.chance(0.3):
            out.append((3, r.choice(STATES).encode()))
        if self.chance(0.3):
            out.append((15, self.status()))
        if self.chance(0.05):
            out += [(15, self.status()), (3, r.choice(STATES).encode()), (1, self.trace_id())]
        if self.chance(0.1):
            out += [
                (11, [(1, 0.5), (2, b"event"), (3, self.attribute())]),
                (13, [(1, r.randbytes(16)), (3, b"ot=th:8")]),
            ]
        return out

    def status(self) -> Message:
        out: Message = [(3, self.rng.choice([0, 1, 2, 2, 2 + (1 << 32), 258]))]
        return [*out, (2, b"words")] if self.chance(0.3) else out if self.chance(0.8) else []

    def log_record(self) -> Message:
        out: Message = [(1, 0.5), (2, 9), (3, b"INFO"), (5, self.any_value())]
        out += [(6, self.attribute()) for _ in range(self.rng.randrange(3))]
        if self.chance(0.8):
            out += [(9, self.trace_id()), (10, self.rng.randbytes(8))]
        if self.chance(0.05):
            out.append((9, self.trace_id()))
        return out

    def metric(self) -> Message:
        r = self.rng
        out: Message = [(1, b"http.requests"), (3, b"1")]
        for _ in range(r.choice([0, 1, 1, 1, 2])):
            points: Message = [(1, [(3, 0.5), (7, self.attribute())]) for _ in range(r.randrange(4))]
            out.append((r.choice([5, 7, 7, 9, 10, 11, 12]), [*points, (2, 2)]))
        return out

    def item(self, signal: int) -> Message:
        make = {TRACES: self.span, LOGS: self.log_record, METRICS: self.metric}.get(signal)
        return make() if make is not None else [(1, self.attribute()), (4, self.rng.randbytes(5))]

    # ---- around them

    def resource(self) -> Message:
        out: Message = [(1, self.attribute()) for _ in range(self.rng.randrange(4))]
        return [*out, (2, 3)] if self.chance(0.1) else out

    def scope(self, signal: int) -> Message:
        r = self.rng
        out: Message = [(1, [(1, b"io.opentelemetry"), (2, b"1.0")])] if self.chance(0.8) else []
        count = r.choice([0, 1, 2, 3, 12])
        if self.chance(0.3):  # alike, as an exporter makes them, so that shapes recur
            one = self.item(signal)
            out += [(2, self.near(one)) for _ in range(count)]
        elif self.chance(0.2):  # alike in size, now and then with a bit that is not
            raw = self.encode(self.item(signal))
            out += [(2, flipped(r, raw) if self.chance(0.1) else raw) for _ in range(count)]
        else:
            out += [(2, self.item(signal)) for _ in range(count)]
        return [*out, (3, b"https://schema")] if self.chance(0.2) else out

    def near(self, item: Message) -> Message:
        """The same item with other contents of the same size, mostly."""
        out: Message = []
        for number, content in item:
            if isinstance(content, bytes) and self.chance(0.5):
                size = len(content) if self.chance(0.95) else self.rng.randrange(20)
                out.append((number, self.trace_id() if size == 16 else bytes(self.rng.choices(b"abcot=th:8;", k=size))))
            elif isinstance(content, int) and self.chance(0.5):
                out.append((number, self.rng.choice([content, 1, 2, 127, 128, 300])))
            else:
                out.append((number, content))
        return out

    def request(self, signal: int) -> Message:
        r = self.rng
        out: Message = []
        for _ in range(r.choice([0, 1, 1, 1, 2, 3])):
            inner: Message = [(1, self.resource()) for _ in range(r.choice([0, 1, 1, 1, 1, 1, 2]))]
            scopes: Message = [(2, self.scope(signal)) for _ in range(r.choice([0, 1, 1, 2]))]
            if self.chance(0.06):
                scopes += [(OLD_SCOPES, self.scope(signal))]
            if self.chance(0.03):
                scopes = [(OLD_SCOPES, content) for _, content in scopes]
            out.append((1, inner + scopes + ([(3, b"https://schema")] if self.chance(0.2) else [])))
        if signal == PROFILES:
            out.append((2, [(5, b""), (5, b"service.name")]))
        return out

    # ---- on the wire

    def encode(self, message: Message) -> bytes:
        r, odd = self.rng, self.odd
        parts = []
        for number, content in message:
            if isinstance(content, list) and len(content) > 1 and self.chance(odd / 4):
                cut = r.randrange(len(content))  # one message in two that merge
                parts += [self.field(number, content[:cut]), self.field(number, content[cut:])]
            else:
                parts.append(self.field(number, content))
            if self.chance(odd / 4):
                parts.append(self.unknown())
        if self.chance(odd / 2):
            r.shuffle(parts)
        return b"".join(parts)

    def tag(self, number: int, kind: int) -> bytes:
        return varint(number << 3 | kind, self.rng.randrange(6) if self.chance(self.odd / 4) else 0)

    def length(self, content: bytes) -> bytes:
        return varint(len(content), self.rng.randrange(6) if self.chance(self.odd / 4) else 0) + content

    def field(self, number: int, content: Content) -> bytes:
        if self.chance(self.odd / 20):  # a known field of another type
            return self.unknown(number)
        if isinstance(content, list):
            return self.tag(number, LEN) + self.length(self.encode(content))
        if isinstance(content, bytes):
            return self.tag(number, LEN) + self.length(content)
        if isinstance(content, float):
            return self.tag(number, FIXED64) + struct.pack("<d", content)
        v = content % (1 << 64)
        return self.tag(number, VARINT) + varint(v, self.rng.randrange(11) if self.chance(self.odd / 4) else 0)

    def unknown(self, number: int = 0, depth: int = 0) -> bytes:
        r = self.rng
        number = number or r.choice([16, 17, 100, 999, 1001, 2047, 2048, (1 << 29) - 1])
        kind = r.choice([VARINT, FIXED64, LEN, FIXED32] + ([GROUP] if depth < 3 else []))
        if kind == GROUP:
            inner = b"".join(self.unknown(r.choice([0, 1, 2]), depth + 1) for _ in range(r.randrange(3)))
            end = number if self.chance(0.97) else r.choice([1, 2, number ^ 1])  # which closes no group of ours
            return self.tag(number, GROUP) + inner + self.tag(end or number, 4)
        content: bytes = {
            VARINT: varint(r.getrandbits(r.randrange(1, 65))),
            FIXED64: r.randbytes(8),
            LEN: self.length(r.randbytes(r.randrange(9))),
            FIXED32: r.randbytes(4),
        }[kind]
        return self.tag(number, kind) + content


# ---- damage

LENGTHS = [
    b"\xff\xff\xff\xff\x07",
    b"\xff\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\x1f",
    b"\xff" * 9 + b"\x01",
    b"\x80" * 5 + b"\x01",
    b"\x80" * 9 + b"\x02",
    b"\x80\x01",
    b"\x7f",
    b"\x00",
]


def flipped(rng: random.Random, content: bytes) -> bytes:
    """The content with one bit changed."""
    if not content:
        return content
    b = bytearray(content)
    b[rng.randrange(len(b))] ^= 1 << rng.randrange(8)
    return bytes(b)


def damaged(rng: random.Random, body: bytes) -> bytes:
    """The body with bytes changed, cut, moved, or lengths that lie."""
    b = bytearray(body)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at = rng.randrange(len(b) + 1)
        match rng.randrange(6):
            case 0:
                b[:] = flipped(rng, bytes(b))
            case 1 if b:
                b[at % len(b)] = rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 0x0A, 0x12, 0x0B, 0x0C, 0x7F, 0x80, 0xFF])
            case 2:
                del b[at:]
            case 3:
                other = rng.randrange(len(b) + 1)
                b[at:at] = b[other : other + rng.randrange(40)]
            case 4:
                b[at : at + 1] = rng.choice(LENGTHS)
            case _:
                del b[at : at + rng.randrange(1, 4)]
    return bytes(b)


def deep(rng: random.Random) -> bytes:
    """Groups, or arrays in values, nested around the depth where protobuf stops."""
    depth = rng.choice([1, 2, 30, 45, 47, 48, 49, 50, *range(94, 104)])
    number = rng.choice([1, 2, 5, 100])
    inner: bytes = varint(number << 3 | 3) * depth + varint(number << 3 | 4) * (depth - rng.choice([0, 0, 0, 1]))
    if rng.random() < 0.5:
        inner = b""
        for _ in range(depth):
            inner = field(5, field(1, inner))
        inner = field(1, b"k") + field(2, inner)
    for outer in rng.choice([(), (1,), (1, 1), (2, 1), (9, 2, 2, 1)]):
        inner = field(outer, inner)
    return inner


def case(rng: random.Random) -> tuple[int, bytes]:
    """A signal and a body."""
    signal = rng.choice([TRACES, TRACES, TRACES, LOGS, METRICS, PROFILES])
    kind = rng.randrange(20)
    if kind == 0:
        return signal, deep(rng)
    maker = Maker(rng)
    body = maker.encode(maker.request(signal))
    if kind == 1:
        maker = Maker(rng)
        other = maker.encode(maker.request(signal))
        body = body[: rng.randrange(len(body) + 1)] + other[rng.randrange(len(other) + 1) :]
    return signal, damaged(rng, body) if kind < 10 else body
