"""`python -m benchmarks.fleet FIGURE [OPTIONS]`: one of the figures, or `all`; without one, what there is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from sidecar.model import LogFormat, LogLevel
from sidecar.telemetry import log

ALL = (
    "moved",
    "push",
    "adaptive",
    "budget",
    "limits",
    "foresight",
    "swarm --gateways 1000 --regions 4 --lease-ttl 15 --timeout 4",
    "swarm",
)
"""With the options that go into benchmarks/RESULTS.md."""
FIGURES = tuple(dict.fromkeys(line.split()[0] for line in ALL))


def main(arguments: list[str]) -> int:
    name, *_ = arguments or ["help"]
    if name != "all" and name not in FIGURES:
        for figure in FIGURES:
            print(f"  {(_module(figure).__doc__ or '').splitlines()[0]}")
        return 0 if name == "help" else 2
    log.configure(LogLevel.ERROR, LogFormat.TEXT)
    for line in ALL if name == "all" else [" ".join(arguments)]:
        figure, *options = line.split()
        run: Callable[[list[str]], None] = _module(figure).main
        run(options)
    return 0


def _module(figure: str) -> ModuleType:
    return import_module(f"benchmarks.fleet.{figure}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
