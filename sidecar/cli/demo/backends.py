"""The backends: three OTLP servers on grpcio in one process, which decode what they get and count.

    python -m sidecar.cli.demo.backends COUNT

Prints what has come as a line of JSON (`books.Came`) for every line of input, and a last time when that ends.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import grpc
import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from sidecar.cli.demo.books import Came
from sidecar.cli.demo.child import report_when_asked
from sidecar.cli.demo.sightings import Sightings

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
LARGEST_BYTES = 16 << 20
_SPLIT = -1


class Books:
    """The count over all backends."""

    def __init__(self, backends: int) -> None:
        self._lock = Lock()
        self._spans = [0] * backends
        self._distinct = self._traces = self._split = 0
        self._span_ids = Sightings(time.monotonic())
        self._trace_ids = Sightings(time.monotonic())

    def enter(self, backend: int, request: ExportTraceServiceRequest) -> None:
        """Count what a backend was sent."""
        with self._lock:
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        self._spans[backend] += 1
                        self._distinct += self._span_ids.first(span.span_id, backend) is None
                        self._enter_trace(backend, span.trace_id)

    def _enter_trace(self, backend: int, trace_id: bytes) -> None:
        home = self._trace_ids.first(trace_id, backend)
        if home is None:
            self._traces += 1
        elif home not in {backend, _SPLIT}:
            self._split += 1
            self._trace_ids.mark(trace_id, _SPLIT)

    def came(self, addresses: tuple[str, ...]) -> Came:
        """The count now."""
        with self._lock:
            self._span_ids.age(time.monotonic())
            self._trace_ids.age(time.monotonic())
            return Came(addresses, tuple(self._spans), self._distinct, self._traces, self._split)


def serve(number: int, books: Books) -> tuple[grpc.Server, str]:
    """A backend on a free port of the loopback, and its address."""

    def export(request: ExportTraceServiceRequest, _context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        books.enter(number, request)
        return ExportTraceServiceResponse()

    handler = grpc.unary_unary_rpc_method_handler(
        export,
        request_deserializer=ExportTraceServiceRequest.FromString,
        response_serializer=ExportTraceServiceResponse.SerializeToString,
    )
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", LARGEST_BYTES)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


def main(count: int) -> None:
    """Serve until the input ends."""
    books = Books(count)
    served = [serve(number, books) for number in range(count)]
    addresses = tuple(address for _, address in served)
    report_when_asked(lambda: msgspec.json.encode(books.came(addresses)))
    for server, _ in served:
        server.stop(None)


if __name__ == "__main__":
    main(int(sys.argv[1]))
