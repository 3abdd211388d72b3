"""The processes beside the gateway: how they are started, told to end, and what they report.

They live as long as their standard input: it ends when the demo says so, and also when the demo is no more. A report is
a line of JSON on standard output. They have sessions of their own, so that Ctrl-C reaches the demo alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from threading import Event, Thread
from typing import IO, Generic, TypeVar, cast

import msgspec

from sidecar.errors import SpangateError

Report = TypeVar("Report", bound=msgspec.Struct)

REPORT_S = 0.25
LAST_WORDS = 20
"""Lines of standard error that are kept."""
_OURS = ("SPANGATE_", "OTEL_", "GRPC_")


class ChildFailed(SpangateError):
    """A part of the demo has ended by itself."""


def environment() -> Mapping[str, str]:
    """Ours without what would make one demo differ from another: settings, and proxies on the way to loopback."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_OURS) and not name.lower().endswith("_proxy")
    }


def report_until_told(report: Callable[[], bytes]) -> None:
    """In a child: print reports until the input ends, and then one more."""
    told = Event()

    def listen() -> None:
        while sys.stdin.buffer.readline():
            pass
        told.set()

    Thread(target=listen, daemon=True).start()
    while not told.wait(REPORT_S):
        _print(report())
    _print(report())


def _print(report: bytes) -> None:
    sys.stdout.buffer.write(report + b"\n")
    sys.stdout.buffer.flush()


class Child(Generic[Report]):
    """A module of the demo as a process. `said` is its last report."""

    def __init__(self, module: str, blank: Report, *arguments: str) -> None:
        self.said = blank
        self.name = module.rpartition(".")[2]
        self._reported = Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            start_new_session=True,
        )
        self._words: deque[str] = deque(maxlen=LAST_WORDS)
        self._input, output, errors = cast(
            "Sequence[IO[bytes]]", (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        self._readers = [
            Thread(target=self._hear, args=(output, type(blank)), daemon=True),
            Thread(target=self._keep, args=(errors,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def tell(self, order: msgspec.Struct) -> None:
        """Send it a line."""
        try:
            self._input.write(msgspec.json.encode(order) + b"\n")
            self._input.flush()
        except BrokenPipeError:
            self.check()

    def wait_report(self, timeout_s: float) -> Report:
        """Its first report. ChildFailed when none comes in time."""
        deadline_s = time.monotonic() + timeout_s
        while not self._reported.wait(0.05):
            self.check()
            if time.monotonic() > deadline_s:
                raise ChildFailed(f"the {self.name} of the demo did not start within {timeout_s:g} s")
        return self.said

    def check(self) -> None:
        """ChildFailed when it has ended, with its last words."""
        code = self._process.poll()
        if code is not None:
            self._readers[1].join(1)
            raise ChildFailed(f"the {self.name} of the demo ended with {code}", " | ".join(list(self._words)[-3:]))

    def end(self, timeout_s: float) -> Report:
        """Tell it to end, and wait; its last report. It is killed when it takes longer."""
        self._input.close()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        for reader in self._readers:
            reader.join(1)
        return self.said

    def kill(self) -> None:
        """End it the hard way, if it still runs."""
        self._process.kill()
        self._process.wait()

    def _hear(self, stream: IO[bytes], kind: type[Report]) -> None:
        decoder = msgspec.json.Decoder(kind)
        for line in stream:
            self.said = decoder.decode(line)
            self._reported.set()

    def _keep(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._words.append(line.decode(errors="replace").rstrip())
