"""A lock that the fleet shares. It is handed on in the order of asking.

    asking --first in line--> held --exit, exception, cancellation--> released
       |                        |
       +--deadline: LockBusy    +--crash: the lease expires--> released

No lock over a network excludes by itself: a holder can be stopped for so long that its lease expires, and go on. What
excludes is the fence, given to every write (Kleppmann, "How to do distributed locking", 2016).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import AsyncIterator
from typing import ClassVar

from sidecar.coord.background import first
from sidecar.coord.backoff import Backoff
from sidecar.coord.session import Session
from sidecar.coord.store import Fence, KeyValue, Lease, LeaseGone, Store, StoreError, StoreUnavailable
from sidecar.coord.turn import PlaceLost, Turn
from sidecar.errors import GrpcStatus, Refused


class LockBusy(Refused, StoreError):
    """Somebody else had the lock until our patience ended."""

    grpc_status = GrpcStatus.ABORTED
    retryable: ClassVar[bool] = True


class Lock:
    """The lock whose line is under `folder`. `holder` says to others who has it."""

    def __init__(self, store: Store, session: Session, folder: str, *, holder: str, dice: random.Random) -> None:
        self._store = store
        self._session = session
        self._folder = folder
        self._holder = holder
        self._dice = dice

    @contextlib.asynccontextmanager
    async def held(self, timeout_s: float) -> AsyncIterator[Fence]:
        """The lock, for as long as the body runs. LockBusy when it is not free in time, StoreUnavailable."""
        fence, unanswered = await self._acquire(timeout_s)
        try:
            yield fence
        finally:
            await self._session.discard(fence.key, unanswered=unanswered)

    async def _acquire(self, timeout_s: float) -> tuple[Fence, Lease | None]:
        """And the lease, where a put of the key under it was given up on the way."""
        backoff = Backoff(self._dice)
        seen: KeyValue | None = None
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    lease = await self._session.ready()
                    key = f"{self._folder}{lease.id:016x}-{secrets.token_hex(4)}"
                    turn = Turn(self._store, lease, self._folder, key, value=self._holder.encode(), backoff=backoff)
                    fence: Fence | None = None
                    try:
                        await first(turn.wait(), self._session.gone(lease))
                        fence = turn.fence
                    except (LeaseGone, PlaceLost):
                        await asyncio.sleep(backoff.next_s())
                    finally:
                        seen = turn.first or seen
                        unanswered = lease if turn.unanswered else None
                        if fence is None:
                            await self._session.discard(key, unanswered=unanswered)
                    if fence is not None:
                        return fence, unanswered
        except TimeoutError as error:
            if seen is None:
                reason = self._session.reason or "the store gives no answer"
                raise StoreUnavailable(f"no lock within {timeout_s:g} s: {reason}") from error
            holder = seen.value.decode(errors="replace")
            raise LockBusy(
                f"{holder} holds {self._folder.rstrip('/')}, and has not let go of it within {timeout_s:g} s",
                "try again; where the holder has crashed, its lock ends with its lease",
            ) from error
