"""Finding out that another gateway has the same id: both would write one record, each over the other's.

The later one looks before it writes its record: where there is one on the lease of somebody else, that is a predecessor
that died, or a namesake. After a ttl the lease tells, for only who lives has renewed it. The earlier one finds its
record on a lease that is not its own: one read in a while does.
"""

from __future__ import annotations

import asyncio
import random

from sidecar.control.records import GatewayRecord, read
from sidecar.coord.session import FAREWELL, Session
from sidecar.coord.store import KeyValue, Lease, LeaseGone, Store, StoreError
from sidecar.telemetry import log

LOOK_S = 60.0
JITTER = 0.2


class Namesake:
    """Looks at `key`, which this gateway puts under the session's lease. `found` is the other's address."""

    def __init__(
        self, store: Store, session: Session, key: str, *, dice: random.Random, look_s: float = LOOK_S
    ) -> None:
        self.found = ""
        self._store, self._session, self._key = store, session, key
        self._dice, self._look_s = dice, look_s
        self._other: KeyValue | None = None
        """What somebody else has written there last, as long as he may be alive."""
        self._log = log.logger("fleet")

    async def meet(self) -> None:
        """Looks who is there, before this gateway writes its own record."""
        try:
            entry = await self._store.get(self._key)
        except StoreError:
            return  # whoever it is may still find us
        self._other = entry if entry is not None and entry.lease and entry.value != FAREWELL else None

    async def run(self) -> None:
        """Until cancelled. The first look is when a predecessor's lease is over."""
        pause_s = self._session.ttl_s
        while True:
            await asyncio.sleep(pause_s * self._dice.uniform(1, 1 + JITTER))
            pause_s = max(self._session.ttl_s, self._look_s)
            await self.look()

    async def look(self) -> None:
        """Once. Where the store does not answer nothing is known anew."""
        try:
            entry = await self._store.get(self._key)
            lease = self._session.lease
            if lease is None:
                return  # whatever is there may be our own, of the lease before
            if entry is not None and entry.lease != lease.id and entry.value != FAREWELL:
                self._other = entry
            elif self._other is not None and not await self._lives(self._other):
                self._other = None
        except StoreError:
            return  # the session tells what the store is like
        self._tell()

    async def _lives(self, other: KeyValue) -> bool:
        """Whether who wrote this still renews its lease. That renews it once more: there is no other question."""
        try:
            await self._store.keep_alive(Lease(other.lease, self._session.ttl_s))
        except LeaseGone:
            return False
        return True

    def _tell(self) -> None:
        other = read(GatewayRecord, self._other) if self._other else None
        found = str(other.service.address) if other else ""
        if found and not self.found:
            self._log.error(
                "another gateway has the same id: the fleet sees one of the two",
                key=self._key,
                other=found,
                hint="give each an id of its own",
            )
        self.found = found
