"""The processes beside the gateway: how they are started, told to end, and what they report.

They live as long as their standard input: it ends when the demo says so, and also when the demo is no more. A line in
it asks for a report, a line of JSON on standard output. In sessions of their own, they are not reached by Ctrl-C.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import IO, Generic, TypeVar, cast

import msgspec

from sidecar.errors import DemoFailed, Exit

Report = TypeVar("Report", bound=msgspec.Struct)

LAST_WORDS = 20
"""Lines of standard error that are kept."""
_OURS = ("SPANGATE_", "OTEL_", "GRPC_")


def environment() -> Mapping[str, str]:
    """Ours without what would make one demo differ from another: settings, and proxies on the way to loopback."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_OURS) and not name.lower().endswith("_proxy")
    }


def report_when_asked(report: Callable[[], bytes]) -> None:
    """In a child: print a report for every line that comes in, and one more when the input has ended."""
    while sys.stdin.buffer.readline():
        print_report(report())
    print_report(report())


def print_report(report: bytes) -> None:
    """In a child: say it now; when nobody listens any more, end at once."""
    try:
        sys.stdout.buffer.write(report + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(Exit.PIPE)


class Child(Generic[Report]):
    """A module of the demo as a process. `said` is its last report."""

    def __init__(self, module: str, blank: Report, *arguments: str) -> None:
        self.said = blank
        self.name = module.rpartition(".")[2]
        self._answered = Event()
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

    def ask(self, order: msgspec.Struct | None = None, *, timeout_s: float) -> Report:
        """Its report on a line, which may be an order. DemoFailed when none comes in time."""
        self._answered.clear()
        with suppress(BrokenPipeError):  # check() tells why
            self._input.write((msgspec.json.encode(order) if order else b"") + b"\n")
            self._input.flush()
        deadline_s = time.monotonic() + timeout_s
        while not self._answered.wait(0.05):
            self.check()
            if time.monotonic() > deadline_s:
                raise DemoFailed(f"the {self.name} of the demo did not answer within {timeout_s:g} s")
        return self.said

    def check(self) -> None:
        """DemoFailed when it has ended, with its last words."""
        code = self._process.poll()
        if code is not None:
            self._readers[1].join(1)
            raise DemoFailed(f"the {self.name} of the demo ended with {code}", " | ".join(list(self._words)[-3:]))

    def end(self, *, timeout_s: float) -> Report:
        """Tell it to end, and wait; its last report. It is killed when it takes longer."""
        with suppress(BrokenPipeError):
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
            self._answered.set()

    def _keep(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._words.append(line.decode(errors="replace").rstrip())
