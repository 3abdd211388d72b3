"""OTLP requests byte by byte: made here, and taken apart into items without decoding one.

A protobuf library would put unknown fields in another place; what is compared here are the bytes themselves.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from sidecar.model import Signal
from tests.kernels.wire import FIXED32, FIXED64, field, fields

METHODS = {
    Signal.TRACES: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    Signal.LOGS: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    Signal.METRICS: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    Signal.PROFILES: "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
}
SIGNAL_OF = {method: signal for signal, method in METHODS.items()}
START_NS = 1_700_000_000_000_000_000


class Item(NamedTuple):
    """A span, log record or metric as it was sent; resource and scope are all their fields but the items."""

    resource: bytes
    scope: bytes
    body: bytes


def items(body: bytes) -> list[Item]:
    """The items of a request of any signal."""
    found = []
    for resource in fields(body):
        if resource.number != 1:
            continue
        head = _rest(body, resource.value, resource.end)
        for scope in fields(body, resource.value, resource.end):
            if scope.number != 2:
                continue
            inner = _rest(body, scope.value, scope.end)
            found += [
                Item(head, inner, body[item.value : item.end])
                for item in fields(body, scope.value, scope.end)
                if item.number == 2
            ]
    return found


def counted(bodies: Iterable[bytes]) -> Counter[Item]:
    """The items of many requests, and how often each is there."""
    return Counter(item for body in bodies for item in items(body))


def strange(body: bytes) -> bytes:
    """The fields of the request itself that OTLP does not know."""
    return b"".join(body[f.off : f.end] for f in fields(body) if f.number != 1)


def ids(body: bytes, number: int = 2) -> list[bytes]:
    """A field of each item: 2 is the id of a span, 1 that of its trace."""
    found = []
    for item in items(body):
        inside = [f for f in fields(item.body) if f.number == number]
        found.append(item.body[inside[-1].value : inside[-1].end] if inside else b"")
    return found


def _rest(body: bytes, at: int, end: int) -> bytes:
    return b"".join(body[f.off : f.end] for f in fields(body, at, end) if f.number != 2)


# ---- making requests


def text(key: str, value: str) -> bytes:
    """A KeyValue with a string."""
    return field(1, key.encode()) + field(2, field(1, value.encode()))


def request(items: Iterable[bytes], service: str = "shop", scope: bytes = field(1, b"scope")) -> bytes:
    """One resource, one scope, these items."""
    inside = field(1, scope) + b"".join(field(2, item) for item in items)
    return field(1, field(1, field(1, text("service.name", service))) + field(2, inside))


def span(trace_id: bytes, span_id: bytes, *, state: str = "", padding: int = 0, start_ns: int = START_NS) -> bytes:
    """A span; padding makes it that much larger."""
    return b"".join(
        [
            field(1, trace_id),
            field(2, span_id),
            field(3, state.encode()) if state else b"",
            field(5, b"GET /"),
            field(7, start_ns, FIXED64),
            field(8, start_ns + 5, FIXED64),
            field(9, text("padding", "x" * padding)) if padding else b"",
            field(16, 0x101, FIXED32),
        ]
    )


def spans(n: int, *, per_trace: int = 4, service: str = "shop", padding: int = 0, state: str = "") -> bytes:
    """A request of n spans with ids that nothing else has."""
    trace_ids = [os.urandom(16) for _ in range((n + per_trace - 1) // per_trace)]
    made = (span(trace_ids[i // per_trace], os.urandom(8), state=state, padding=padding) for i in range(n))
    return request(made, service)


def logs(n: int, service: str = "shop") -> bytes:
    """A request of n log records, every other one with a trace id."""
    made = []
    for i in range(n):
        trace = field(9, os.urandom(16)) + field(10, os.urandom(8)) if i % 2 else b""
        made.append(field(1, START_NS, FIXED64) + field(5, field(1, os.urandom(8).hex().encode())) + trace)
    return request(made, service)


def metrics(n: int, service: str = "shop") -> bytes:
    """A request of n gauges with one data point each."""
    made = []
    for _ in range(n):
        point = field(3, START_NS, FIXED64) + field(6, 7, FIXED64)
        made.append(field(1, os.urandom(8).hex().encode()) + field(5, field(1, point)))
    return request(made, service)


MAKE: dict[Signal, Callable[..., bytes]] = {Signal.TRACES: spans, Signal.LOGS: logs, Signal.METRICS: metrics}


def trace_owners(bodies: Mapping[str, Sequence[bytes]]) -> dict[bytes, set[str]]:
    """Which of the named backends have spans of each trace."""
    owners: dict[bytes, set[str]] = {}
    for name, received in bodies.items():
        for body in received:
            for trace_id in ids(body, 1):
                owners.setdefault(trace_id, set()).add(name)
    return owners
