"""Small requests, written down by hand."""

from sidecar._native.scan import ItemRow, ResourceRow, Tick
from tests.kernels.otlp import TRACES
from tests.kernels.wire import field

TRACE_ID = bytes(range(1, 17))
OTHER_ID = bytes(range(2, 18))


def attribute(key: str, value: str) -> bytes:
    return field(1, key.encode()) + field(2, field(1, value.encode()))


def resource(name: str = "cart") -> bytes:
    return field(1, attribute("service.name", name))


def span(trace_id: bytes = TRACE_ID, *, rest: bytes = b"", state: str | None = None) -> bytes:
    content = field(1, trace_id) + field(2, b"12345678") + field(5, b"GET /") + rest
    return content if state is None else content + field(3, state.encode())


def request(*items: bytes, resource: bytes | None = None) -> bytes:
    """One resource, one scope."""
    scope = b"".join(field(2, item) for item in items)
    inner = field(1, resource) if resource is not None else b""
    return field(1, inner + field(2, scope))


def scanned(body: bytes, signal: int = TRACES) -> Tick | None:
    """The tick with this one document; None when it was refused."""
    tick = Tick.of(signal, [])
    return tick if tick.add(signal, body) else None


def accepted(body: bytes, signal: int = TRACES) -> bool:
    return scanned(body, signal) is not None


def items(body: bytes, signal: int = TRACES) -> list[ItemRow]:
    tick = scanned(body, signal)
    assert tick is not None
    return tick.items()


def item(*fields: bytes) -> ItemRow:
    """The span that has these fields."""
    (row,) = items(request(b"".join(fields)))
    return row


def resources(body: bytes, signal: int = TRACES) -> list[ResourceRow]:
    tick = scanned(body, signal)
    assert tick is not None
    return tick.resources()


def service(*messages: bytes) -> bytes:
    """The service of a ResourceSpans with these Resource messages."""
    tick = scanned(field(1, b"".join(field(1, message) for message in messages) + field(2, field(2, span()))))
    assert tick is not None
    return tick.service(tick.resources()[0].service)
