"""otlpload of benchmarks/ as processes: its generator, and its sink that counts distinct span ids.

Built once, into the cache folder of the user.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Self

import msgspec

from tests.harness.patience import free_port, listens, until
from tests.parts.cache import root

SOURCE = Path(__file__).resolve().parents[2] / "benchmarks" / "otlpload.c"
BUILD = (os.environ.get("CC", "cc"), "-O2", "-w", "-o")
LIBRARIES = ("-lnghttp2", "-lz")
END_S = 45.0
_MASK = (1 << 64) - 1


@cache
def otlpload() -> Path:
    """The program."""
    digest = hashlib.sha256(SOURCE.read_bytes() + repr((BUILD, LIBRARIES)).encode()).hexdigest()[:16]
    program = root().parent / "load" / f"otlpload-{digest}"
    if not program.is_file():
        program.parent.mkdir(parents=True, exist_ok=True)
        unfinished = program.with_suffix(f".{os.getpid()}")
        subprocess.run([*BUILD, unfinished, SOURCE, *LIBRARIES], check=True, timeout=60)
        unfinished.rename(program)
    return program


class Generated(msgspec.Struct, frozen=True):
    """What the generator tells at its end."""

    requests: int
    ok: int
    unavailable: int
    resource_exhausted: int
    other_status: int
    no_status: int
    spans_sent: int
    spans_ok: int


class Generator:
    """Load from when it is made, over `conns` connections with `streams` requests open on each."""

    def __init__(self, port: int, *, spans: int = 20, seed: int = 1, **options: object) -> None:
        command = [str(otlpload()), "gen", f"127.0.0.1:{port}", "--spans", str(spans), "--seed", str(seed)]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        self.seed = seed
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def stop(self) -> Generated:
        """Sends no more, waits for what is open; what came of it."""
        self.process.send_signal(signal.SIGTERM)
        return self.result()

    def result(self) -> Generated:
        """What came of it, at its own end."""
        return msgspec.json.decode(self.process.communicate(timeout=END_S)[0], type=Generated)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def span_ids(self, n: int) -> set[bytes]:
        """The ids of the first n spans that it has sent."""
        offset = (self.seed << 44) + 77
        return {_mix((k + offset) & _MASK).to_bytes(8, "little") for k in range(n)}


def _mix(x: int) -> int:
    """mix64 of otlpload.c."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & _MASK
    return x ^ x >> 31


class Tracked(msgspec.Struct, frozen=True):
    """What a tracking sink has counted at one port, or over all ports."""

    requests: int = 0
    spans: int = 0
    malformed: int = 0
    failed: int = 0
    distinct_spans: int = 0
    duplicate_spans: int = 0
    traces: int = 0
    split_traces: int = 0


class TrackingSinks:
    """n sinks in one process; quick, but they tell only numbers, and only when they end by SIGTERM."""

    def __init__(self, n: int, **options: object) -> None:
        self.ports = [free_port() for _ in range(n)]
        self._options = [
            text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", str(value))
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        ports = ",".join(map(str, self.ports))
        command = [str(otlpload()), "sink", ports, "--track", "1", *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        until(lambda: all(map(listens, self.ports)), "the sinks listen")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    @property
    def running(self) -> bool:
        """Whether it has been started, and not ended."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> Tracked:
        """The sums over all sinks; split_traces are those seen at more than one."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        lines = self._process.communicate(timeout=END_S)[0].splitlines()
        rows = [msgspec.json.decode(line, type=Tracked) for line in lines]
        every = rows[: len(self.ports)]
        names: Sequence[str] = [name for name in Tracked.__struct_fields__ if name != "split_traces"]
        sums = {name: sum(getattr(row, name) for row in every) for name in names}
        return Tracked(**sums, split_traces=sum(row.split_traces for row in rows))
