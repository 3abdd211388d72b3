"""Watching the collector that this gateway runs beside: whether it is well, and how much it has to do.

    every check_every_s --+--> health check --> HealthState ------------+
                          |                                             +--> state, and whoever has subscribed
                          +--> its own metrics --> CollectorMeter ------+
                                                       +--> Capacity ---+

Both are asked at once and each within its time, so that a collector that hangs costs a look, never the watch. What
cannot be read is said in `problem`; the load then stays as it was, for one that looks idle would be sent more.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from sidecar.clock import Clock
from sidecar.config.schema import CollectorConfig
from sidecar.errors import SpangateError
from sidecar.load.capacity import Capacity
from sidecar.load.checks import CheckInvalid, Registry, Subject, standard
from sidecar.load.health import HealthState
from sidecar.load.otelcol import CollectorMeter, MetricsUnreadable, Scrape
from sidecar.load.page import Url, fetch
from sidecar.load.probe import Machine, machine
from sidecar.load.verdict import judged_all, words
from sidecar.model import Health
from sidecar.snapshot import Load
from sidecar.telemetry import log

METRICS_LIMIT_BYTES = 4 << 20
JITTER = 0.1
"""Of the time between looks, so that a fleet does not look in step."""


class CollectorState(NamedTuple):
    """What is known of the collector."""

    health: Health = Health.UNKNOWN
    reason: str = ""
    """Why it is unhealthy."""
    load: Load = Load()
    problem: str = ""
    """Why its metrics cannot be read; the load is then an old one."""


class CollectorWatch:
    """Looks at the collector of a configuration from `start` to `stop`.

    It is checked as `health_url` says, else by a connection to its endpoint, and beside that as `checks` say. The load
    that they see is that of the look before.
    """

    def __init__(
        self,
        config: CollectorConfig,
        clock: Clock,
        dice: random.Random,
        *,
        registry: Registry | None = None,
        beside: Machine | None = None,
    ) -> None:
        if config.endpoint is None:
            raise CheckInvalid("a collector without `endpoint` cannot be watched")
        self._config = config
        self._clock = clock
        self._dice = dice
        self._timeout_s = min(max(config.check_every_s, 1.0), 5.0)
        subject = Subject(config.endpoint, lambda: self._state.load, self._timeout_s)
        makers = standard() if registry is None else registry
        self._checks = [makers.make(text, subject) for text in (config.health_url or "tcp", *config.checks)]
        self._metrics = _url(config.metrics_url) if config.metrics_url else None
        self._health = HealthState(config.rise, config.fall)
        shared = beside or machine()
        self._meter = CollectorMeter(Machine(config.cpus or shared.cpus, config.memory_bytes or shared.memory_bytes))
        self._capacity = Capacity(config.capacity_qps)
        self._state = CollectorState(load=Load(capacity_qps=config.capacity_qps))
        self._subscribers: list[Callable[[CollectorState], None]] = []
        self._watching: asyncio.Task[None] | None = None

    @property
    def state(self) -> CollectorState:
        """As of the last look."""
        return self._state

    def subscribe(self, changed: Callable[[CollectorState], None]) -> Callable[[], None]:
        """Call `changed` with the state after every look that has changed it. The answer ends it."""
        self._subscribers.append(changed)
        return lambda: self._subscribers.remove(changed)

    async def start(self) -> None:
        """Look, and go on looking."""
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Look no more. The state stays. It may be called without a start."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
            self._watching = None

    async def look(self) -> CollectorState:
        """One look, outside the rhythm."""
        verdict, scrape = await asyncio.gather(judged_all(self._checks), self._scraped())
        if self._health.add(verdict):
            self._tell_health()
        problem = "" if scrape is None or isinstance(scrape, Scrape) else scrape.message
        if problem and not self._state.problem:
            log.logger("load").warning("the collector's metrics cannot be read", problem=problem)
        load = self._state.load
        if isinstance(scrape, Scrape):
            self._meter.add(scrape)
            load = self._meter.load()
            healthy = self._health.health is Health.HEALTHY
            self._capacity.add(scrape.at_s, load.qps, load.queue, healthy=healthy)
        load = msgspec.structs.replace(load, capacity_qps=self._capacity.qps)
        before, self._state = self._state, CollectorState(self._health.health, self._health.reason, load, problem)
        if self._state != before:
            for changed in tuple(self._subscribers):
                self._inform(changed)
        return self._state

    async def _watch(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self._config.check_every_s * self._dice.uniform(1 - JITTER, 1 + JITTER))

    async def _scraped(self) -> Scrape | SpangateError | None:
        """The metrics, or why not; None where nobody has said where they are."""
        if self._metrics is None:
            return None
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                page = await fetch(self._metrics, METRICS_LIMIT_BYTES)
            if page.status != 200:
                return MetricsUnreadable(f"status {page.status}")
            return Scrape.read(page.body, self._clock.monotonic_s())
        except SpangateError as error:
            return error
        except OSError as error:
            late = f"no answer within {self._timeout_s:g} s"
            return MetricsUnreadable(late if limit.expired() else words(error))

    def _tell_health(self) -> None:
        say = log.logger("load")
        if self._health.health is Health.HEALTHY:
            say.info("the collector is healthy", collector=str(self._config.endpoint))
        else:
            say.warning("the collector is unhealthy", collector=str(self._config.endpoint), reason=self._health.reason)

    def _inform(self, changed: Callable[[CollectorState], None]) -> None:
        try:
            changed(self._state)
        except Exception:  # noqa: BLE001  what a listener does wrong must not end the watch
            log.logger("load").error("a listener of the collector's state fails", exc_info=True)


def _url(text: str) -> Url:
    try:
        return Url.parse(text)
    except ValueError as error:
        raise CheckInvalid(f"the metrics address {text!r} {error}") from None
