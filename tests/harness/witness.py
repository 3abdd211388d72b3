"""A backend in a process of its own that may be killed with -9: what it answers OK is in a file before.

python -m tests.harness.witness PORT FILE [DELAY_S]
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import grpc

from sidecar.model import Signal
from tests.harness.otlp import SIGNAL_OF
from tests.harness.patience import free_port, listens, until
from tests.harness.sink import span_ids

HEAD = struct.Struct("<BI")
SIGNALS = list(Signal)
ROOT = Path(__file__).resolve().parents[2]


class Witness:
    """The process, seen from the test. `kill` and `start` it as often as you like; what it has written adds up."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="spangate-witness-")
        self._file = Path(self._folder.name) / "received"
        self._file.touch()
        self._delay_s = delay_s
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()
        self._folder.cleanup()

    def begin(self) -> None:
        """Starts it, without waiting."""
        command = [sys.executable, "-m", "tests.harness.witness", str(self.port), str(self._file), str(self._delay_s)]
        self._process = subprocess.Popen(command, cwd=ROOT)

    def start(self) -> None:
        """Starts it, on the port that it had."""
        self.begin()
        until(lambda: listens(self.port), "the witness listens")

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def bodies(self, signal: Signal = Signal.TRACES) -> list[bytes]:
        """The requests of a signal that it has written, as far as they are whole."""
        data, at, found = self._file.read_bytes(), 0, []
        while at + HEAD.size <= len(data):
            number, size = HEAD.unpack_from(data, at)
            at += HEAD.size + size
            if at <= len(data) and SIGNALS[number] is signal:
                found.append(data[at - size : at])
        return found

    def span_ids(self) -> Counter[bytes]:
        """The ids of all spans, and how often each has come."""
        return span_ids(self.bodies())


class _Recorder(grpc.GenericRpcHandler):
    """Writes each request with one write(), then answers."""

    def __init__(self, path: str, delay_s: float) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._delay_s = delay_s
        self._never = threading.Event()

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        signal = SIGNAL_OF.get(call.method)
        if signal is None:
            return None
        number = SIGNALS.index(signal)

        def export(body: bytes, _context: grpc.ServicerContext) -> bytes:
            written = os.write(self._fd, HEAD.pack(number, len(body)) + body)
            assert written == HEAD.size + len(body)
            if self._delay_s:
                self._never.wait(self._delay_s)
            return b""

        return grpc.unary_unary_rpc_method_handler(export)


def main(port: str, path: str, delay_s: str) -> None:
    """Serves until it is killed."""
    server = grpc.server(
        ThreadPoolExecutor(16), handlers=[_Recorder(path, float(delay_s))], options=[("grpc.so_reuseport", 0)]
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
