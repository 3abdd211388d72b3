"""A fleet in memory, with a desk to change it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec

from sidecar.clock import SystemClock
from sidecar.control.desk import Desk
from sidecar.control.records import CollectorRecord, ConfigState, GatewayRecord, ServiceInfo
from sidecar.coord.keys import Keys
from sidecar.coord.memory import MemoryStore
from sidecar.coord.session import Session
from sidecar.coord.store import Store
from sidecar.model import Endpoint, Health

KEYS = Keys()
GLOBAL = "global:\n  sampling_rate: 0.1\n"
LOCAL = "local:\n  regional_sampling_rate: 0.2\n"
NOW_UNIX_S = 1_700_000_000.0


def rate(value: float, version: int | None = None) -> str:
    """A configuration that says nothing but a rate."""
    return f"global:\n  sampling_rate: {value}\n" + (f"  version: {version}\n" if version is not None else "")


class NoTime:
    """A time of day that stands still."""

    def unix_s(self) -> float:
        return NOW_UNIX_S


@asynccontextmanager
async def desks(store: Store, *identities: str) -> AsyncIterator[list[Desk]]:
    """A desk for each gateway, all at one store."""
    sessions = [
        Session(store, 15.0, clock=SystemClock(), dice=random.Random(number)) for number in range(len(identities))
    ]
    for session in sessions:
        session.start()
    try:
        yield [
            Desk(store, KEYS, session, identity=identity, wall=NoTime())
            for session, identity in zip(sessions, identities, strict=True)
        ]
    finally:
        for session in sessions:
            await session.close()
        await store.close()


@asynccontextmanager
async def desk() -> AsyncIterator[tuple[Desk, MemoryStore]]:
    """One desk, and its store."""
    store = MemoryStore()
    async with desks(store, "gw-1") as (one,):
        yield one, store


def service(identity: str, region: str, port: int = 4317) -> ServiceInfo:
    return ServiceInfo(
        id=identity, name=identity, address=Endpoint("10.0.0.1", port), region=region, health=Health.HEALTHY
    )


def collector(identity: str, region: str = "eu") -> CollectorRecord:
    return CollectorRecord(service=service(identity, region))


async def announce(store: Store, identity: str, region: str, config: Mapping[str, ConfigState] | None = None) -> None:
    """As a gateway does."""
    record = GatewayRecord(service=service(identity, region), config=config or {})
    await store.put(f"{KEYS.gateways(region)}{identity}", msgspec.json.encode(record))
