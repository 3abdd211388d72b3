"""`python -m benchmarks.fleet FIGURE [OPTIONS]`: one of the figures; without one, what there is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

from sidecar.model import LogFormat, LogLevel
from sidecar.telemetry import log

FIGURES = ("push", "swarm", "adaptive", "budget", "limits", "moved", "foresight")


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in FIGURES:
        for name in FIGURES:
            first = (import_module(f"benchmarks.fleet.{name}").__doc__ or "").splitlines()[0]
            print(f"  {first}")
        return 0 if not arguments else 2
    log.configure(LogLevel.ERROR, LogFormat.TEXT)
    figure: Callable[[list[str]], None] = import_module(f"benchmarks.fleet.{arguments[0]}").main
    figure(arguments[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
