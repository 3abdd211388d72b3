"""What a gateway tells the fleet of itself, and of the collector beside it: while something changes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

import msgspec

from sidecar.control.guidance import Guidance
from sidecar.control.records import CollectorRecord, GatewayRecord, ServiceInfo
from sidecar.control.region import added, fitting, load_differs, off, services_differ
from sidecar.control.senses import Senses
from sidecar.coord.keys import Keys
from sidecar.coord.session import Session
from sidecar.coord.store import StoreError
from sidecar.telemetry import log

JITTER = 0.2
"""Of the period: a fleet that was started at once does not speak at once."""
SPREAD_S = 0.2
"""Over which few gateways acknowledge a configuration: people wait for it."""
ACKNOWLEDGED_PER_S = 2000.0
"""By how many gateways of a fleet together: each is a write to the store. 10,000 take 5 s."""
WORTH_RATIO = 0.02
SERVICES_MAX = 256


class Announcer:
    """Writes two records under the session's lease. What it knows comes from `senses` and from the last guidance."""

    def __init__(
        self,
        session: Session,
        keys: Keys,
        who: ServiceInfo,
        senses: Senses,
        *,
        every_s: float,
        dice: random.Random,
    ) -> None:
        self._session, self._keys, self._who, self._senses = session, keys, who, senses
        self._every_s, self._dice = every_s, dice
        self._gateway: GatewayRecord | None = None
        self._collector: CollectorRecord | None = None
        self._hurry = asyncio.Event()
        self._applied = Guidance()
        self._log = log.logger("fleet")
        self.announced = 0
        """Records written."""

    def applied(self, guidance: Guidance) -> None:
        """From now on the gateway works by this: of a configuration the fleet hears at once, people wait for it."""
        former, self._applied = self._applied, guidance
        if guidance.states != former.states:
            self._hurry.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._hurry.clear()
            await self._announce()
            pause_s = self._every_s * self._dice.uniform(1 - JITTER, 1 + JITTER)
            try:
                async with asyncio.timeout(pause_s):  # wait_for (3.11) loses a cancellation that meets the event
                    await self._hurry.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(self._dice.uniform(0, self._spread_s()))

    def _spread_s(self) -> float:
        """Over how long all gateways say that they have applied a configuration, which comes to all at once."""
        target = self._applied.target
        return max(min(SPREAD_S, self._every_s / 10), (target.gateways if target else 0) / ACKNOWLEDGED_PER_S)

    async def _announce(self) -> None:
        record = self._record()
        if self._gateway is None or differs(record, self._gateway):
            self._gateway = record
            await self._put(f"{self._keys.gateways(self._who.region)}{self._who.id}", fitting(record))
        collector = self._senses.collector()
        if collector is not None and (self._collector is None or _collector_differs(collector, self._collector)):
            self._collector = collector
            key = f"{self._keys.collectors(self._who.region)}{collector.service.id}"
            await self._put(key, msgspec.json.encode(collector))

    async def _put(self, key: str, value: bytes) -> None:
        """What the store does not take now the session repeats; only where it is never taken there is more to say."""
        self.announced += 1
        try:
            await self._session.put(key, value)
        except StoreError as error:
            self._log.warning("the store does not take what is announced", key=key, reason=error.message)

    def _record(self) -> GatewayRecord:
        applied = self._applied
        observed = added([self._senses.observed()], SERVICES_MAX)
        epochs: Mapping[str, int] = {region: view.epoch for region, view in applied.views.items()}
        return GatewayRecord(
            service=self._who,
            load=self._senses.load(),
            config=applied.states,
            target_token=applied.target.token if applied.target else 0,
            target_sequence=applied.target.sequence if applied.target else 0,
            view_epochs=epochs,
            received=sum(load.received for load in observed.values()),
            kept=sum(load.kept for load in observed.values()),
            observed=observed,
            suspects=self._senses.suspects(),
            collector_loads=self._senses.collector_loads(),
        )


def differs(one: GatewayRecord, other: GatewayRecord) -> bool:
    """Whether a record says something that the other does not, beyond the noise of rates.

    Of the target only its leader counts: every gateway would speak at each of its steps.
    """
    return (
        (one.config, one.view_epochs, one.target_token) != (other.config, other.view_epochs, other.target_token)
        or one.suspects.keys() != other.suspects.keys()
        or one.service != other.service
        or off(one.received, other.received, WORTH_RATIO)
        or off(one.kept, other.kept, WORTH_RATIO)
        or load_differs(one.load, other.load)
        or services_differ(one.observed, other.observed, WORTH_RATIO)
        or one.collector_loads.keys() != other.collector_loads.keys()
        or any(load_differs(load, other.collector_loads[name]) for name, load in one.collector_loads.items())
    )


def _collector_differs(one: CollectorRecord, other: CollectorRecord) -> bool:
    plain = msgspec.structs.replace(one, load=other.load)
    return plain != other or load_differs(one.load, other.load)
