"""The store on a cluster that breaks: members that die, freeze, lag, lose quorum, data or their history."""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sidecar.clock import SystemClock
from sidecar.coord.etcd import EtcdStore
from sidecar.coord.mirror import Mirror
from sidecar.coord.store import ABSENT, Compacted, Fence, KeyValue, Lease, StoreUnavailable, WentBack
from sidecar.model import Endpoint
from tests.coord.client import eventually, soon, using
from tests.coord.cluster import EtcdCluster
from tests.coord.contract import failure, now, seen
from tests.coord.flaky import FlakyStore
from tests.coord.waiting import until
from tests.harness.patience import free_port
from tests.harness.proxy import Proxy


@pytest.fixture(scope="module")
def cluster(etcd_binary: Path) -> Iterator[EtcdCluster]:
    """Each test leaves all its members healthy, its data not."""
    with EtcdCluster.running(etcd_binary) as cluster:
        yield cluster


class History:
    """One writer and one watcher, each as a recipe of ours would be, and what they were told."""

    def __init__(self, store: EtcdStore, prefix: str) -> None:
        self.store, self.prefix = store, prefix
        self.acknowledged: dict[int, bytes] = {}
        self.seen: dict[int, bytes] = {}
        self.failures = 0
        self.resumes = 0

    async def write(self) -> None:
        """Writes one key over and over. What failed may have happened: its value is never written again."""
        number = 0
        while True:
            number += 1
            value = b"%d" % number
            try:
                self.acknowledged[await self.store.put(self.prefix + "k", value)] = value
            except StoreUnavailable:
                self.failures += 1
                await asyncio.sleep(0.02)

    async def watch(self, after: int) -> None:
        while True:
            try:
                async with self.store.watch(self.prefix, after) as batches:
                    async for batch in batches:
                        assert batch.revision > after
                        after = batch.revision
                        self.seen |= {event.entry.modified: event.entry.value for event in batch.events}
            except StoreUnavailable:
                self.resumes += 1
                await asyncio.sleep(0.02)

    async def acknowledges(self, count: int) -> None:
        """Returns after so many more writes."""
        goal = len(self.acknowledged) + count
        await eventually(lambda: len(self.acknowledged) >= goal)

    async def is_followed(self) -> KeyValue:
        """What there is now, once the watcher has seen it."""
        newest = await self.store.get(self.prefix + "k")
        assert newest is not None
        goal = newest.modified
        await eventually(lambda: max(self.seen, default=0) >= goal)
        return newest

    async def check(self) -> None:
        """Nothing acknowledged is missing or out of order, nothing happened twice, and the end is the store's.

        What was not acknowledged may happen late: a frozen member does what it was told when it is thawed.
        """
        final = await self.is_followed()
        assert self.acknowledged.items() <= self.seen.items()
        assert [*self.seen] == sorted(self.seen)
        assert len({*self.seen.values()}) == len(self.seen)
        order = [int(value) for revision, value in self.seen.items() if revision in self.acknowledged]
        assert order == sorted(order)
        assert self.seen[final.modified] == final.value


@asynccontextmanager
async def recorded(store: EtcdStore, prefix: str) -> AsyncIterator[History]:
    """A writer and a watcher at work; checked at the end."""
    history = History(store, prefix)
    watcher = asyncio.ensure_future(history.watch(await now(store, prefix)))
    writer = asyncio.ensure_future(history.write())
    try:
        await history.acknowledges(20)
        yield history
        writer.cancel()
        await asyncio.wait([writer])
        await history.check()
    finally:
        for task in (writer, watcher):
            task.cancel()
        await asyncio.wait([writer, watcher])


async def test_the_leader_dies(cluster: EtcdCluster) -> None:
    leader = cluster.leader()
    async with using(cluster, first=leader) as store, recorded(store, "/leader-dies/") as history:
        leader.kill()
        await history.acknowledges(20)
        await asyncio.to_thread(cluster.start, leader)
        await history.acknowledges(20)
        assert history.resumes >= 1


async def test_every_member_dies_in_turn(cluster: EtcdCluster) -> None:
    async with using(cluster) as store, recorded(store, "/in-turn/") as history:
        for node in cluster.nodes:
            node.kill()
            await history.acknowledges(5)
            await asyncio.to_thread(cluster.start, node)


async def test_the_member_in_use_freezes(cluster: EtcdCluster) -> None:
    node = cluster.follower()
    async with using(cluster, first=node, timeout_s=0.6) as store, recorded(store, "/freezes/") as history:
        with node.frozen():
            await history.acknowledges(20)
            await history.is_followed()
        assert history.resumes == 1
        assert history.failures <= 1  # the write that was on its way


async def test_a_member_that_is_frozen_from_the_start(cluster: EtcdCluster) -> None:
    node = cluster.follower()
    with node.frozen():
        async with using(cluster, first=node) as store:
            revision = await store.put("/frozen/k", b"1")  # nothing was sent to the one that does not connect
            async with store.watch("/frozen/", revision - 1) as batches:
                await seen(batches, 1)


async def test_an_idle_watch_at_a_frozen_member(cluster: EtcdCluster) -> None:
    node = cluster.follower()
    async with (
        using(cluster, first=node, timeout_s=0.3) as store,
        store.watch("/idle/", await now(store, "/idle/")) as batches,
    ):
        waiting = asyncio.ensure_future(seen(batches, 1))
        with node.frozen(), pytest.raises(StoreUnavailable):
            await waiting
        with pytest.raises(StoreUnavailable):  # and it never just ends
            await anext(batches)


async def test_a_minority(cluster: EtcdCluster) -> None:
    """A member alone knows that it is: reads, writes and watches there fail, and come back with the others."""
    alone, *others = cluster.nodes
    async with using(cluster, first=alone, timeout_s=0.8) as store:
        revision = await store.put("/minority/k", b"1")
        async with store.watch("/minority/", revision) as batches:
            waiting = asyncio.ensure_future(seen(batches, 1))
            with others[0].frozen(), others[1].frozen():
                with pytest.raises(StoreUnavailable):
                    await store.get("/minority/k")
                with pytest.raises(StoreUnavailable):
                    await store.put("/minority/k", b"2")
                with pytest.raises(StoreUnavailable):
                    await waiting
                assert len(await store.health()) == 3
        await soon(lambda: store.put("/minority/k", b"3"))
        async with store.watch("/minority/", revision) as batches:
            found = await seen(batches, 1)
        assert found[0].events[0].entry.value in {b"2", b"3"}


async def test_a_member_that_lags_has_not_gone_back(cluster: EtcdCluster) -> None:
    node = cluster.follower()
    async with using(cluster, first=node) as store, using(cluster, first=cluster.leader()) as ahead:
        await now(store, "/lags/")
        with node.frozen():
            last = max([await ahead.put("/lags/k", b"%d" % number) for number in range(100)])
        async with store.watch("/lags/", last) as batches:
            await ahead.put("/lags/k", b"next")
            (batch,) = await seen(batches, 1)
        assert batch.events[0].entry.value == b"next"


async def test_a_write_is_not_repeated_behind_the_back(cluster: EtcdCluster) -> None:
    with Proxy(cluster.nodes[0].client) as proxy:
        config = cluster.config(timeout_s=0.5)
        hole = Endpoint("127.0.0.1", proxy.port)
        store = EtcdStore(msgspec.structs.replace(config, endpoints=(hole, *config.endpoints[1:])))
        store._cluster._used = 0
        await store.get("/once/k")
        proxy.stall()
        with pytest.raises(StoreUnavailable):
            await store.compare_and_set("/once/k", b"1", ABSENT)
        assert await store.get("/once/k") is None  # nor at the next member, which is used now
        assert await store.compare_and_set("/once/k", b"2", ABSENT) is not None
        proxy.cut()
        await store.close()


async def test_a_read_is_repeated_at_the_next_member(cluster: EtcdCluster) -> None:
    node = cluster.follower()
    async with using(cluster, first=node) as store:
        revision = await store.put("/read/k", b"1")
        lease = await store.grant(30.0)
        for call in (lambda: store.get("/read/k"), lambda: store.list("/read/"), lambda: store.keep_alive(lease)):
            store._cluster._used = 0
            with node.frozen():
                assert await call()
        assert (await now(store, "/read/")) >= revision
        await store.revoke(lease)


async def test_a_call_under_way_when_the_store_closes(cluster: EtcdCluster) -> None:
    node = cluster.follower()
    async with using(cluster, first=node, timeout_s=30.0) as store:
        await store.get("/closes/k")
        with node.frozen():
            under_way = asyncio.ensure_future(store.put("/closes/k", b"1"))
            await asyncio.sleep(0.05)  # on its way; before that it would end the same
            await store.close()
            async with asyncio.timeout(5):
                with pytest.raises(StoreUnavailable):
                    await under_way


def every_call(store: EtcdStore) -> list[Coroutine[Any, Any, object]]:
    lease = Lease(1, 1.0)
    return [
        store.get("/k"),
        store.list("/"),
        store.put("/k", b""),
        store.put("/k", b"", lease=lease, fence=Fence("/f", 1)),
        store.compare_and_set("/k", b"", ABSENT),
        store.delete("/k"),
        failure(store, "/", 1),
        store.grant(1.0),
        store.keep_alive(lease),
        store.revoke(lease),
    ]


async def test_all_members_are_away(cluster: EtcdCluster) -> None:
    config = cluster.config(timeout_s=5.0)
    away = tuple(Endpoint("127.0.0.1", free_port()) for _ in range(2))
    store = EtcdStore(msgspec.structs.replace(config, endpoints=away, username="user"))
    for call in every_call(store):
        with pytest.raises(StoreUnavailable, match=r"onnection refused"):
            await call
    assert [line.partition(": ")[0] for line in await store.health()] == [str(address) for address in away]
    await store.close()
    for call in every_call(store):
        with pytest.raises(StoreUnavailable, match=r"the store is closed"):
            await call


async def test_compaction_past_a_watcher_that_was_away(etcd_binary: Path) -> None:
    with EtcdCluster.running(etcd_binary, size=1) as cluster:
        (node,) = cluster.nodes
        async with using(cluster) as store:
            revision = await store.put("/away/k", b"1")
            async with store.watch("/away/", revision) as batches:
                node.kill()
                with pytest.raises(StoreUnavailable):
                    await anext(batches)
            await asyncio.to_thread(cluster.start)
            await soon(lambda: store.put("/away/k", b"2"))
            await store.put("/away/k", b"3")
            cluster.compact(await now(store, "/away/"))
            with pytest.raises(Compacted):
                await failure(store, "/away/", revision)


async def test_a_store_that_lost_its_disk_and_has_overtaken(etcd_binary: Path) -> None:
    """Its revision is higher again before anybody comes back: the watch alone would resume in another past."""
    with EtcdCluster.running(etcd_binary, size=1) as cluster:
        (node,) = cluster.nodes
        async with using(cluster) as store:
            connection = FlakyStore(store)
            for number in range(5):
                await store.put(f"/past/{number}", b"old")
            mirror = Mirror(connection, "/past/", clock=SystemClock(), dice=random.Random(1))
            mirror.start()
            await mirror.ready()
            connection.cut()
            node.kill()
            node.wipe()
            await asyncio.to_thread(cluster.start)
            await soon(lambda: store.put("/past/3", b"new"))
            for number in range(20):
                await store.put(f"/other/{number}", b"")
            connection.mend()
            await until(lambda: [one.value for one in mirror.entries.values()] == [b"new"], "what there is now")
            assert (mirror.relists, mirror.resync_diff) == (1, 0)
            await mirror.stop()


async def test_a_store_that_lost_its_disk(etcd_binary: Path) -> None:
    with EtcdCluster.running(etcd_binary, size=1) as cluster:
        (node,) = cluster.nodes
        async with using(cluster) as store:
            revision = max([await store.put("/lost/k", b"%d" % number) for number in range(5)])
            node.kill()
            node.wipe()
            await asyncio.to_thread(cluster.start)
            await soon(lambda: store.get("/lost/k"))
            with pytest.raises(WentBack):
                await failure(store, "/lost/", revision)
            assert (await store.list("/lost/")).entries == ()


async def test_watches_come_and_go_on_one_stream(cluster: EtcdCluster) -> None:
    """Many at once, given up at any step, while streams fail: who stays sees all, and in the end nothing is left."""
    async with using(cluster) as store:
        prefix = "/come-and-go/"
        begun = await now(store, prefix)

        async def briefly(number: int) -> None:
            with suppress(TimeoutError, StoreUnavailable):
                async with asyncio.timeout(0.002 * number), store.watch(f"{prefix}{number}", begun) as batches:
                    await anext(batches)

        async with recorded(store, prefix) as history:
            for _ in range(3):
                await asyncio.gather(*map(briefly, range(40)))
                store._cluster.leave(store._cluster.members()[store._cluster._used])
            for stream in store._streams._streams.values():
                stream._call.cancel()
            await asyncio.gather(*map(briefly, range(40)))
            await history.acknowledges(20)
        assert not store._streams._streams
