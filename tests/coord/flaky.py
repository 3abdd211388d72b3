"""A store with a connection that a test can cut."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from sidecar.coord.pulse import Pulse
from sidecar.coord.store import Batch, Event, Fence, KeyValue, Lease, Listing, Store, StoreError, StoreUnavailable


class FlakyStore:
    """`inner`, as far as the connection lets it through."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.fault: StoreError | None = None
        """What every call raises."""
        self.loses: Callable[[Event], bool] = lambda event: False
        """Which events of watches never arrive."""
        self.delay_s = 0.0
        """How late those that arrive do so."""
        self.late = False
        """Whether a put arrives, and its answer does not."""
        self.calls: list[str] = []
        self._cuts = 0
        self._cut = Pulse()

    def cut(self, fault: StoreError | None = None) -> None:
        """From now on nothing gets through, and watches break."""
        self.fault = fault or StoreUnavailable("the cable is cut")
        self._cuts += 1
        self._cut.send()

    def mend(self) -> None:
        """It works again."""
        self.fault = None

    def drop_watches(self) -> None:
        """Watches break, and the rest goes on."""
        self.cut()
        self.mend()

    def writes(self, key: str) -> int:
        """How many puts and compare-and-sets of `key` there were."""
        return self.calls.count(f"put {key}")

    async def get(self, key: str) -> KeyValue | None:
        self._pass(f"get {key}")
        return await self.inner.get(key)

    async def list(self, prefix: str) -> Listing:
        self._pass(f"list {prefix}")
        return await self.inner.list(prefix)

    async def put(self, key: str, value: bytes, *, lease: Lease | None = None, fence: Fence | None = None) -> int:
        self._pass(f"put {key}")
        revision = await self.inner.put(key, value, lease=lease, fence=fence)
        self._answer()
        return revision

    async def compare_and_set(
        self, key: str, value: bytes, expected: int, *, lease: Lease | None = None, fence: Fence | None = None
    ) -> KeyValue | None:
        self._pass(f"put {key}")
        entry = await self.inner.compare_and_set(key, value, expected, lease=lease, fence=fence)
        self._answer()
        return entry

    async def delete(self, key: str, expected: int | None = None, *, fence: Fence | None = None) -> bool:
        self._pass(f"delete {key}")
        return await self.inner.delete(key, expected, fence=fence)

    def watch(self, prefix: str, after: int) -> AbstractAsyncContextManager[AsyncIterator[Batch]]:
        return self._watch(prefix, after)

    async def grant(self, ttl_s: float) -> Lease:
        self._pass("grant")
        return await self.inner.grant(ttl_s)

    async def keep_alive(self, lease: Lease) -> float:
        self._pass("keep_alive")
        return await self.inner.keep_alive(lease)

    async def revoke(self, lease: Lease) -> None:
        self._pass("revoke")
        await self.inner.revoke(lease)

    async def health(self) -> Sequence[str]:
        return [self.fault.message] if self.fault else await self.inner.health()

    async def close(self) -> None:
        await self.inner.close()

    def _pass(self, call: str) -> None:
        self.calls.append(call)
        if self.fault is not None:
            raise self.fault

    def _answer(self) -> None:
        if self.late:
            raise StoreUnavailable("the answer got lost")

    @contextlib.asynccontextmanager
    async def _watch(self, prefix: str, after: int) -> AsyncIterator[AsyncIterator[Batch]]:
        self._pass(f"watch {prefix}")
        cuts = self._cuts
        async with self.inner.watch(prefix, after) as batches:
            yield self._through(batches, cuts)

    async def _through(self, batches: AsyncIterator[Batch], cuts: int) -> AsyncIterator[Batch]:
        while True:
            broken, arrived = asyncio.ensure_future(self._cut.wait()), asyncio.ensure_future(_next(batches))
            try:
                if cuts == self._cuts:
                    await asyncio.wait([broken, arrived], return_when=asyncio.FIRST_COMPLETED)
                if cuts != self._cuts:
                    raise self.fault or StoreUnavailable("the connection broke")
                batch = arrived.result()
            finally:
                broken.cancel()
                arrived.cancel()
                await asyncio.gather(broken, arrived, return_exceptions=True)
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            yield Batch(batch.revision, tuple(event for event in batch.events if not self.loses(event)))


async def _next(batches: AsyncIterator[Batch]) -> Batch:
    return await anext(batches)
