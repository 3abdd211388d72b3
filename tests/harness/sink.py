"""A backend in the test process: keeps the bytes of every request that it accepts, and answers by script."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from sidecar.errors import GrpcStatus
from sidecar.model import Signal
from tests.harness import details
from tests.harness.otlp import SIGNAL_OF, Item, counted
from tests.harness.patience import free_port

THREADS = 32
CODES = {code.value[0]: code for code in grpc.StatusCode}


class Answer(NamedTuple):
    """How a request is answered, and after how long. Only what is answered OK is kept as received."""

    status: GrpcStatus = GrpcStatus.OK
    words: str = ""
    retry_after_s: float | None = None
    rejected: int = 0
    delay_s: float = 0.0


class Received(NamedTuple):
    """A request, and the metadata that came with it."""

    signal: Signal
    body: bytes
    metadata: dict[str, str | bytes]


OK = Answer()
Script = Callable[[Received], Answer]


def always(answer: Answer) -> Script:
    """A script of one line."""
    return lambda _: answer


ACCEPT = always(OK)


class Sink(grpc.GenericRpcHandler):
    """A backend on `port`. `script` decides on the answers; it may be exchanged at any time."""

    def __init__(self, script: Script = ACCEPT) -> None:
        self.script = script
        self.port = free_port()
        self.received: list[Received] = []
        self.refused: list[Received] = []
        self._server: grpc.Server | None = None
        self._ending = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listens, again on the port of the first time."""
        self._ending.clear()
        self._server = grpc.server(
            ThreadPoolExecutor(THREADS, "sink"),
            handlers=[self],
            options=[("grpc.so_reuseport", 0), ("grpc.http2.min_ping_interval_without_data_ms", 1000)],
        )
        assert self._server.add_insecure_port(self.address) == self.port
        self._server.start()

    def stop(self) -> None:
        """Ends at once: what is under way is not answered."""
        self._ending.set()
        if self._server is not None:
            self._server.stop(None).wait()
            self._server = None

    # ---- what has arrived

    def bodies(self, signal: Signal = Signal.TRACES) -> list[bytes]:
        """The requests of a signal that were answered OK."""
        return [received.body for received in list(self.received) if received.signal is signal]

    def span_ids(self) -> Counter[bytes]:
        """The ids of all spans, and how often each has come."""
        return span_ids(self.bodies())

    # ---- grpc

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        signal = SIGNAL_OF.get(call.method)
        metadata = dict(call.invocation_metadata)
        if signal is None:
            return None

        def export(body: bytes, context: grpc.ServicerContext) -> bytes:
            return self._answer(Received(signal, body, metadata), context)

        return grpc.unary_unary_rpc_method_handler(export)

    def _answer(self, received: Received, context: grpc.ServicerContext) -> bytes:
        answer = self.script(received)
        if answer.delay_s:
            self._ending.wait(answer.delay_s)
        if answer.status is GrpcStatus.OK:
            self.received.append(received)
            if not answer.rejected and not answer.words:
                return b""
            partial = ExportTracePartialSuccess(rejected_spans=answer.rejected, error_message=answer.words)
            response: bytes = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
            return response
        self.refused.append(received)
        if answer.retry_after_s is not None:
            packed = details.pack(answer.status, answer.words, answer.retry_after_s)
            context.set_trailing_metadata(((details.KEY, packed),))
        return context.abort(CODES[answer.status], answer.words)


def span_ids(bodies: Sequence[bytes]) -> Counter[bytes]:
    """The ids of all spans in these requests, and how often each is there."""
    return Counter(
        span.span_id
        for body in bodies
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )


def arrived(sinks: Sequence[Sink], signal: Signal = Signal.TRACES) -> Counter[Item]:
    """The items of a signal at all of the sinks."""
    return counted(body for sink in sinks for body in sink.bodies(signal))


@contextmanager
def backends(n: int, script: Script = ACCEPT) -> Iterator[list[Sink]]:
    """n sinks."""
    with ExitStack() as stack:
        yield [stack.enter_context(Sink(script)) for _ in range(n)]
