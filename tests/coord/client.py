"""A store on a cluster of the tests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from sidecar.coord.etcd import EtcdStore
from sidecar.coord.store import StoreUnavailable
from tests.coord.cluster import EtcdCluster

LIMIT_S = 15.0


@asynccontextmanager
async def using(cluster: EtcdCluster, timeout_s: float = 1.0, **settings: Any) -> AsyncIterator[EtcdStore]:
    """One that begins with the first member of the configuration, `first` where that is given; closed at the end."""
    store = EtcdStore(cluster.config(timeout_s=timeout_s, **settings))
    store._cluster._used = 0
    try:
        yield store
    finally:
        await store.close()


async def soon(attempt: Callable[[], Awaitable[object]]) -> None:
    """Repeats it until the store is available."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                await attempt()
            except StoreUnavailable:
                await asyncio.sleep(0.02)
            else:
                return


async def eventually(holds: Callable[[], bool]) -> None:
    """Returns once it holds."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)
