"""Stock gRPC clients in threads, which know of every span whether it was acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from sidecar.errors import GrpcStatus
from sidecar.model import Signal
from tests.harness import details, otlp

OPTIONS = [("grpc.use_local_subchannel_pool", 1)]
TIMEOUT_S = 10.0


class Told(NamedTuple):
    """The answer to an export."""

    status: GrpcStatus
    words: str = ""
    retry_after_s: float | None = None
    rejected: int = 0
    took_s: float = 0.0


class Client:
    """One connection to `target`, of its own. Exports bytes as they are."""

    def __init__(self, target: str, compression: grpc.Compression = grpc.Compression.NoCompression) -> None:
        self._channel = grpc.insecure_channel(target, OPTIONS, compression)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def export(self, body: bytes, signal: Signal = Signal.TRACES, timeout_s: float | None = TIMEOUT_S) -> Told:
        """Sends and waits."""
        call = self._channel.unary_unary(otlp.METHODS[signal], _same, _same)
        start_s = time.monotonic()
        try:
            answer = call(body, timeout=timeout_s)
        except grpc.RpcError as error:
            return _told(error, time.monotonic() - start_s)
        partial = ExportTraceServiceResponse.FromString(answer).partial_success
        took_s = time.monotonic() - start_s
        return Told(GrpcStatus.OK, partial.error_message, rejected=partial.rejected_spans, took_s=took_s)


def _same(body: bytes) -> bytes:
    return body


def _told(error: Any, took_s: float) -> Told:  # grpc types it as what it is not: it is a grpc.Call as well
    found = [value for key, value in error.trailing_metadata() or () if key == details.KEY]
    retry_after_s = details.unpack(found[0]) if found else None
    return Told(GrpcStatus(error.code().value[0]), error.details() or "", retry_after_s, took_s=took_s)


class Exports:
    """Exports that run at the same time, each by a client of its own."""

    def __init__(self, target: str) -> None:
        self.told: list[Told] = []
        self._target = target
        self._threads: list[threading.Thread] = []

    def begin(self, *bodies: bytes) -> None:
        """Sends these, without waiting."""
        for body in bodies:
            self._threads.append(threading.Thread(target=self._export, args=[body], daemon=True))
            self._threads[-1].start()

    def end(self) -> list[Told]:
        """Waits until all are answered."""
        for thread in self._threads:
            thread.join()
        return self.told

    def _export(self, body: bytes) -> None:
        with Client(self._target) as client:
            self.told.append(client.export(body))


class Clients:
    """`n` clients in threads, each of which exports one request after the other until told to stop."""

    def __init__(self, target: str, n: int, make: Callable[[], bytes] = lambda: otlp.spans(8)) -> None:
        self.acknowledged: set[bytes] = set()
        """Ids of the spans for which an OK came."""
        self.sent: set[bytes] = set()
        self.failures: list[Told] = []
        self.exports = 0
        self._target, self._make = target, make
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, name=f"client-{i}", daemon=True) for i in range(n)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Lets what is open end."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def progressed(self, by: int) -> Callable[[], bool]:
        """A condition: that many exports more than now have been acknowledged."""
        goal = self.exports + by
        return lambda: self.exports >= goal

    def _run(self) -> None:
        with Client(self._target) as client:
            while not self._stop.is_set():
                body = self._make()
                ids = otlp.ids(body)
                told = client.export(body)
                with self._lock:
                    self.sent.update(ids)
                    if told.status is GrpcStatus.OK:
                        self.acknowledged.update(ids)
                        self.exports += 1
                    else:
                        self.failures.append(told)
                if told.status is not GrpcStatus.OK:
                    self._stop.wait(min(told.retry_after_s or 0.05, 0.2))


def statuses(told: Sequence[Told]) -> set[GrpcStatus]:
    """The codes among these answers."""
    return {one.status for one in told}
