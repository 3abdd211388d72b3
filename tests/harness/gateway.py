"""`spangate run` as a process: configured by file, flags and environment, watched over its admin, ended by SIGTERM."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import yaml

from sidecar.model import Signal
from sidecar.snapshot import GatewayStatus, LedgerRow
from tests.harness.patience import free_port, until

SPANGATE = Path(sys.executable).with_name("spangate")
END_S = 40.0

Settings = Mapping[str, object]
"""Dotted paths of the configuration and their values: {"delivery.max_wait": "1s"}."""


class Gateway:
    """A gateway in front of backends, named by port or in the short form of `--backend`.

    Ready inside the `with`. Leaving it ends the gateway by SIGTERM and holds it to what it owes: it exits with 0, has
    accounted for every item, and holds none.
    """

    def __init__(
        self,
        backends: Sequence[int | str],
        *flags: str,
        settings: Settings | None = None,
        environment: Mapping[str, str] | None = None,
        port: int = 0,
        ready: bool = True,
    ) -> None:
        self.port, self.admin = port or free_port(), free_port()
        self.backends = list(map(_short, backends))
        self.final: dict[Signal, LedgerRow] = {}
        """The last ledger, once the gateway has ended."""
        self._ready = ready
        self._settings = dict(settings or {})
        self._folder = tempfile.TemporaryDirectory(prefix="spangate-test-")
        self._file = Path(self._folder.name) / "spangate.yaml"
        self._log = Path(self._folder.name) / "log"
        self._command = [str(SPANGATE), "run", "--config", str(self._file), "--listen", self.address]
        self._command += ["--admin", f"127.0.0.1:{self.admin}", "--log-format", "json", *flags]
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("SPANGATE_")}
        self._environment["XDG_STATE_HOME"] = self._folder.name  # or a gateway would find what another one has left
        self._environment |= environment or {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._write({})
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment
            )
        try:
            until(self._serves, "the gateway serves")
        except BaseException as error:
            error.add_note(f"the log of the gateway:\n{self.log_text()[-4000:]}")
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if error is None and self._process is not None and self._process.poll() is None:
                self.stop()
        finally:
            if error is not None:
                error.add_note(f"the log of the gateway:\n{self.log_text()[-4000:]}")
            self._end()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The supervisor."""
        assert self._process is not None
        return self._process

    # ---- what it says of itself

    def page(self, path: str) -> tuple[int, bytes]:
        """Status and body of a page of the admin."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.admin, timeout=5)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def ledger(self, name: Signal = Signal.TRACES) -> LedgerRow:
        """The sums of a signal. Whenever one looks, they have to add up."""
        book: dict[str, Any] = json.loads(self.page("/ledger")[1])
        assert book["difference"] == 0, book
        rows = {row["signal"]: msgspec.convert(row, LedgerRow) for row in book["totals"]}
        return rows.get(str(name), LedgerRow(signal=name, service="*"))

    def status(self) -> GatewayStatus:
        """All of /status."""
        return msgspec.json.decode(self.page("/status")[1], type=GatewayStatus)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that carry these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = self.page("/metrics")[1].decode().splitlines()
        mine = [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in mine if all(label in line for label in wanted))

    def ready(self) -> bool:
        """What /readyz says."""
        try:
            return self.page("/readyz")[0] == 200
        except OSError:
            return False

    def up(self) -> int:
        """How many backends every worker can reach."""
        return min(worker.backends_up for worker in self.status().workers)

    def log_text(self) -> str:
        """Everything that it has logged."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def events(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one kind."""
        lines = (line for line in self.log_text().splitlines() if line.startswith("{"))
        return [said for line in lines if (said := json.loads(line))["event"] == event]

    # ---- what is done to it

    def reload(self, backends: Sequence[int | str] | None = None, settings: Settings | None = None) -> None:
        """Another file, and SIGHUP; returns when all workers go by it."""
        if backends is not None:
            self.backends = list(map(_short, backends))
        before = self.status().generation
        self._settings |= settings or {}
        self.rewrite()
        until(lambda: self._generation() > before, "every worker goes by the new configuration")

    def rewrite(self, mistake: Settings | None = None) -> None:
        """Another file, with what is for this once, and SIGHUP."""
        self._write(mistake or {})
        self.process.send_signal(signal.SIGHUP)

    def begin_to_stop(self) -> None:
        """SIGTERM, without waiting."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> dict[Signal, LedgerRow]:
        """SIGTERM where that has not been said, then the end, and what the gateway owes there; the final ledger."""
        if not self.events("draining"):
            self.begin_to_stop()
        code = self.process.wait(END_S)
        assert code == 0, f"the gateway ended with {code}"
        for line in self.events("final ledger"):
            row = LedgerRow(
                signal=Signal(line["signal"]),
                service="*",
                dropped={"any": line["dropped"]},
                **{name: line[name] for name in ("received", "forwarded", "sampled_out", "rejected", "in_flight")},
            )
            assert line["difference"] == row.difference == row.in_flight == 0, line
            self.final[row.signal] = row
        return self.final

    # ---- parts

    def _write(self, once: Settings) -> None:
        tree: dict[str, Any] = {"backends": self.backends}
        for path, value in (self._settings | dict(once)).items():
            *sections, name = path.split(".")
            place = tree
            for section in sections:
                place = place.setdefault(section, {})
            place[name] = value
        self._file.write_text(yaml.safe_dump(tree))

    def _serves(self) -> bool:
        assert self.process.poll() is None, f"the gateway has ended:\n{self.log_text()}"
        try:
            status = self.status()
        except OSError:
            return False
        if not self._ready:
            return all(worker.generation for worker in status.workers)
        return status.ready and all(worker.backends_up == len(self.backends) for worker in status.workers)

    def _generation(self) -> int:
        return min(worker.generation for worker in self.status().workers)

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()


def _short(backend: int | str) -> str:
    return f"127.0.0.1:{backend}" if isinstance(backend, int) else backend
