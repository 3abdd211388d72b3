"""One turn of the data plane: what has arrived goes through the stages, tick by tick, and out.

    poll -> [scan -> sample -> assign -> split]* -> flush -> (failures and connection changes, then once more)

Each stage is one native call per tick; nothing here runs per request or per item.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sidecar._native.engine import Engine
from sidecar._native.route import Routing, assign
from sidecar._native.sample import Sampling, sample
from sidecar._native.scan import scan
from sidecar._native.split import split

TICK_BYTES = 256 << 10
"""Bodies of one tick: what stays in a core's cache through all stages."""


class Ingress:
    """Runs the turns of one worker. `attend` is called when the engine leaves something to Python."""

    def __init__(self, engine: Engine, sampling: Sampling, routing: Routing, attend: Callable[[], None]) -> None:
        self._engine = engine
        self._tick = engine.tick
        self._attend = attend
        self.sampling = sampling
        self.routing = routing

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch the engine."""
        loop.add_reader(self._engine.fileno(), self.turn)

    def stop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch it no more."""
        loop.remove_reader(self._engine.fileno())

    def use(self, sampling: Sampling, routing: Routing) -> None:
        """Decide by another policy from the next tick on."""
        self.sampling, self.routing = sampling, routing

    def turn(self) -> None:
        """Everything that can be done now."""
        engine, tick = self._engine, self._tick
        more = engine.poll()
        while True:
            while more:
                scan(tick, TICK_BYTES)
                sample(tick, self.sampling)
                assign(tick, self.routing)
                split(tick)
                more = engine.ready()
            if not engine.flush():
                return
            self._attend()
            more = engine.ready()
