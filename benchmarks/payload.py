"""Export requests of the same shape as otlpload's: about 310 bytes a span, fresh ids in every request."""

import os
import struct

SCOPE = b"\x0a\x15io.opentelemetry.http\x12\x051.2.3"
RESOURCE = {
    "service.name": "service-0",
    "host.name": "node-17",
    "telemetry.sdk.language": "python",
    "k8s.namespace.name": "production",
}
ATTRIBUTES = {
    "http.request.method": "GET",
    "url.path": "/api/v1/users/12345",
    "server.address": "api.example.com",
    "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64)",
    "net.peer.ip": "10.1.2.3",
    "http.route": "/api/v1/users/{id}",
}
START_NS = 1_700_000_000_000_000_000


def varint(v: int) -> bytes:
    out = bytearray()
    while v > 127:
        out.append(v & 127 | 128)
        v >>= 7
    out.append(v)
    return bytes(out)


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def attribute(number: int, key: str, value: str) -> bytes:
    return field(number, field(1, key.encode()) + field(2, field(1, value.encode())))


def span(trace_id: bytes, i: int, path: str, state: str = "") -> bytes:
    start = START_NS + i * 1000
    attributes = ATTRIBUTES | {"url.path": path}
    return b"".join(
        [
            field(1, trace_id),
            field(2, os.urandom(8)),
            field(3, state.encode()) if state else b"",
            field(4, os.urandom(8)),
            field(5, b"GET /api/v1/users/{id}"),
            b"\x30\x02",
            struct.pack("<BQBQ", 0x39, start, 0x41, start + 250_000),
            *(attribute(9, key, value) for key, value in attributes.items()),
        ]
    )


def request(spans: int, per_trace: int, *, varied: bool = False, state: str = "", seed: int = 0) -> bytes:
    """One resource, one scope; `per_trace` neighbouring spans share a trace.  varied: paths differ in length."""
    out = field(1, SCOPE)
    trace_id = b""
    for i in range(spans):
        if i % per_trace == 0:
            trace_id = os.urandom(16)
        path = f"/api/v1/users/{'7' * ((i * 7 + seed) % 23)}" if varied else ATTRIBUTES["url.path"]
        out += field(2, span(trace_id, i, path, state))
    resource = b"".join(attribute(1, key, value) for key, value in RESOURCE.items())
    return field(1, field(1, resource) + field(2, out))
