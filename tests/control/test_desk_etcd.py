"""The desk on a real etcd: what the embedded store may be too kind about."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from sidecar.control.desk import Applied, Desk
from sidecar.control.records import ConfigState
from sidecar.control.refusal import Conflict
from tests.control.fleet_store import announce, collector, desks, rate
from tests.coord.client import using
from tests.coord.cluster import EtcdCluster

pytestmark = pytest.mark.process


@pytest.fixture
def cluster(etcd_binary: Path) -> Iterator[EtcdCluster]:
    with EtcdCluster.running(etcd_binary, size=1) as cluster:
        yield cluster


@pytest.fixture
async def several(cluster: EtcdCluster) -> AsyncIterator[list[Desk]]:
    async with using(cluster, timeout_s=5.0) as store, desks(store, "gw-1", "gw-2") as several:
        yield several


async def test_a_change_from_one_desk_is_seen_at_the_other(several: list[Desk]) -> None:
    one, other = several
    applied = await one.apply("global", rate(0.1), author="ann")
    async with aclosing(other.watch("global")) as found:
        assert (await anext(found)).revision == applied.revision
        await one.apply("global", rate(0.2), author="ann", expected_version=1)
        assert (await anext(found)).blob.version == 2
    assert (await other.rollback("global", 1, author="bob")).version == 3
    assert [blob.body for blob in await one.history("global")] == [rate(0.1), rate(0.2), rate(0.1)]


async def test_one_of_many_wins(several: list[Desk]) -> None:
    calls = [one.apply("global", rate(i / 20), author="ann", expected_version=0) for i, one in enumerate(several * 3)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == [Applied.__name__, *[Conflict.__name__] * 5]


async def test_followers_and_registrations(several: list[Desk]) -> None:
    one, other = several
    registration = await one.regions.register(collector("c-1"), 15)
    assert not (await other.regions.register(collector("c-1"), 15, registration.lease.id)).anew
    await announce(one._store, "gw-1", "eu", {"global": ConfigState(applied_version=1)})
    async with aclosing(other.followers("global", 1, 10)) as looks:
        assert [(look.applied, look.total) async for look in looks] == [(1, 1)]
    (region,) = await one.regions.list()
    assert [service.id for service in (*region.gateways, *region.collectors)] == ["gw-1", "c-1"]
    await other.regions.deregister("eu", "c-1", registration.lease.id)
    assert (await one.regions.list())[0].collectors == []
