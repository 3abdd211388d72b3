"""The gateway of the demo: `spangate run` as anybody starts it, its log read line by line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import IO, Any, cast

from sidecar.cli.demo.child import environment
from sidecar.errors import DemoFailed, Exit
from sidecar.model import Endpoint, Signal
from sidecar.snapshot import LedgerRow

TROUBLE_S = 5.0
"""How long a warning of the gateway stays on the screen."""
_LEASH = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); os.execv(sys.argv[1], sys.argv[1:])"
"""SIGTERM when the demo dies without a word (PR_SET_PDEATHSIG), so that no gateway is left behind on its port."""


class GatewayProcess:
    """`spangate run` with these options. It is in a session of its own: Ctrl-C reaches the demo alone."""

    def __init__(self, options: Sequence[str]) -> None:
        self.complaints: list[str] = []
        """What it said in plain words: why it did not start."""
        self.listen = Endpoint("", 0)
        """Where it receives."""
        self.admin = Endpoint("", 0)
        """Where its admin listens."""
        self._trouble = (0.0, "")
        self._final: dict[str, Any] = {}
        self._serving = Event()
        self._state = tempfile.TemporaryDirectory(prefix="spangate-demo-")  # it finds nothing, and leaves nothing
        log = ("--log-level", "info", "--log-format", "json")
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LEASH, sys.executable, "-m", "sidecar.cli", "run", *options, *log],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**environment(), "XDG_STATE_HOME": self._state.name},
            start_new_session=True,
        )
        stderr = cast("IO[bytes]", self._process.stderr)
        self._reader = Thread(target=self._read, args=(stderr,), daemon=True)
        self._reader.start()

    @property
    def exit_code(self) -> int:
        """What the demo ends with when the gateway did not start: the same, where it is a code of ours."""
        code = self._process.poll()
        return next((known for known in Exit if known == code), Exit.INTERNAL)

    def check(self) -> None:
        """DemoFailed when it has ended."""
        if self._ended():
            code = self._process.returncode
            raise DemoFailed(f"the gateway ended with {code}", " | ".join(self.complaints[-3:]))

    def _ended(self) -> bool:
        """Whether it has ended, and all that it said is read."""
        if self._process.poll() is None:
            return False
        self._reader.join(1)
        return True

    @property
    def trouble(self) -> str:
        """Its last warning, for a few seconds."""
        at_s, words = self._trouble
        return words if time.monotonic() - at_s < TROUBLE_S else ""

    def wait_serving(self, timeout_s: float) -> bool:
        """Whether it serves, as opposed to having ended. DemoFailed when it does neither."""
        deadline_s = time.monotonic() + timeout_s
        while not self._serving.wait(0.05):
            if self._ended():
                return False
            if time.monotonic() > deadline_s:
                raise DemoFailed(f"the gateway does not serve within {timeout_s:g} s")
        return True

    def drain(self) -> None:
        """SIGTERM."""
        self._process.terminate()

    def wait(self, timeout_s: float) -> int:
        """Until it has ended; its exit code. It is killed when it takes longer."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.returncode
        self._reader.join(1)
        return code

    def kill(self) -> None:
        """End it the hard way, if it still runs, and workers that it has left behind."""
        code = self._process.poll()
        if code is None or code < 0:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._state.cleanup()

    def final(self, before: LedgerRow) -> LedgerRow:
        """The ledger of traces as it was logged at the very end, or `before` where that is missing."""
        if not self._final:
            return before
        dropped = int(self._final["dropped"])
        reasons = before.dropped if before.dropped_total == dropped else {"at the end": dropped}
        return LedgerRow(
            signal=Signal.TRACES,
            service="*",
            received=int(self._final["received"]),
            forwarded=int(self._final["forwarded"]),
            sampled_out=int(self._final["sampled_out"]),
            rejected=int(self._final["rejected"]),
            dropped=reasons,
            in_flight=int(self._final["in_flight"]),
        )

    def _read(self, stream: IO[bytes]) -> None:
        for line in stream:
            try:
                event = json.loads(line)
            except ValueError:
                self.complaints.append(line.decode(errors="replace").rstrip())
            else:
                self._note(event)

    def _note(self, event: dict[str, Any]) -> None:
        match event.get("event"):
            case "admin listens":
                self.admin = Endpoint.parse(event["address"])
            case "the gateway serves":
                self.listen = Endpoint.parse(event["listen"].partition(",")[0])
                self._serving.set()
            case "final ledger" if event.get("signal") == Signal.TRACES:
                self._final = event
            case words if event.get("level") in {"warning", "error"}:
                kept = ("event", "level", "timestamp", "room")
                more = " ".join(f"{name}={value}" for name, value in event.items() if name not in kept)
                self._trouble = (time.monotonic(), f"{words}  {more}")
