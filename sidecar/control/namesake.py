"""Finding out that another gateway has the same id: both would write one record, each over the other's.

A gateway's record hangs on its lease. Where it hangs on the lease of somebody else, that one wrote it since: a
predecessor that died has been overwritten, and its lease has taken nothing with it. One read in a while tells; both
find out, as each writes whenever its load changes.
"""

from __future__ import annotations

import asyncio
import random

from sidecar.control.records import GatewayRecord, read
from sidecar.coord.session import Session
from sidecar.coord.store import Store, StoreError
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
        self._log = log.logger("fleet")

    async def run(self) -> None:
        """Until cancelled. The first look is when a predecessor's lease is over."""
        pause_s = min(self._session.ttl_s, self._look_s)
        while True:
            await asyncio.sleep(pause_s * self._dice.uniform(1, 1 + JITTER))
            pause_s = self._look_s
            await self.look()

    async def look(self) -> None:
        """Once. Where the store does not answer nothing is known anew."""
        try:
            entry = await self._store.get(self._key)
        except StoreError:
            return  # the session tells what the store is like
        lease = self._session.lease
        if lease is None:
            return  # whatever is there may be our own, of the lease before
        other = read(GatewayRecord, entry) if entry is not None and entry.lease != lease.id else None
        found = str(other.service.address) if other else ""
        if found and not self.found:
            self._log.error(
                "another gateway has the same id: the fleet sees one of the two",
                key=self._key,
                other=found,
                hint="give each an id of its own",
            )
        self.found = found
