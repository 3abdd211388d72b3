"""A worker's state without a worker: backends that are up or not, and ticks of requests to assign."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sidecar._native.backends import Backends
from sidecar._native.core import WorkerCore
from sidecar._native.route import Routing, assign
from sidecar._native.scan import Tick, scan

TRACES, LOGS = 0, 1
PAGE_BYTES, BUDGET_BYTES = 4 << 20, 16
HEADERS = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/")]


class Worker:
    """Time stands still for each of them, at the moment when it was made."""

    def __init__(self, owners: int, up: Collection[int] | None = None) -> None:
        self.core = WorkerCore(bytearray(PAGE_BYTES), bytearray(BUDGET_BYTES))
        self.backends = Backends(self.core)
        for slot in range(owners):
            self.backends.add(
                slot, slot, HEADERS, gzip=False, max_in_flight=1, queue_limit_bytes=1 << 20, message_limit_bytes=1 << 20
            )
        self.backends.own(list(range(owners)))
        self.up = set(range(owners) if up is None else up)
        for slot in self.up:
            self.backends.set_up(slot, True)

    def tick(self, bodies: Iterable[bytes], signal: int = TRACES) -> Tick:
        """A tick of these requests, scanned and not yet assigned."""
        tick = Tick.of(signal, bodies, self.core)
        scan(tick, 1 << 30)
        return tick

    def owners(self, routing: Routing, bodies: Iterable[bytes], signal: int = TRACES) -> list[list[int]]:
        """The owners of the items of each request."""
        tick = self.tick(bodies, signal)
        assign(tick, routing)
        return owners_by_doc(tick)


def owners_by_doc(tick: Tick) -> list[list[int]]:
    items = tick.items()
    return [[item.owner for item in items[doc.item0 : doc.item0 + doc.items]] for doc in tick.docs()]


def traces(trace_ids: Sequence[bytes], start_unix_ns: int = 0) -> bytes:
    """A request with one span for each of these trace ids; one that is not given has no field for it."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for trace_id in trace_ids:
        scope.spans.add(trace_id=trace_id, span_id=b"12345678", name="GET /", start_time_unix_nano=start_unix_ns)
    return request.SerializeToString()


def of_services(shares: Iterable[tuple[str, Sequence[bytes]]], start_unix_ns: int = 0) -> bytes:
    """A request with a resource for each of these services, and in it a span for each of its trace ids."""
    request = ExportTraceServiceRequest()
    for service, ids in shares:
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = service
        scope = resource.scope_spans.add()
        for trace_id in ids:
            scope.spans.add(trace_id=trace_id, span_id=b"12345678", name="GET /", start_time_unix_nano=start_unix_ns)
    return request.SerializeToString()


def logs(hosts: Iterable[str]) -> bytes:
    """A request with a log record without a trace id for each of these hosts, each with its own resource."""
    request = ExportLogsServiceRequest()
    for host in hosts:
        resource = request.resource_logs.add()
        resource.resource.attributes.add(key="host.name").value.string_value = host
        resource.scope_logs.add().log_records.add(severity_text="INFO")
    return request.SerializeToString()


def trace_ids(rng: random.Random, n: int, run: int = 1) -> list[bytes]:
    """n trace ids, up to `run` times the same one after the other."""
    ids: list[bytes] = []
    while len(ids) < n:
        ids += [rng.randbytes(16)] * rng.randint(1, run)
    return ids[:n]
