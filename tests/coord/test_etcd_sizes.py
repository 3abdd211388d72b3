"""The store at its limits: no space, many keys, much to catch up on; and nothing at all happening."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from sidecar.coord import etcd as module
from sidecar.coord.etcd import EtcdStore
from sidecar.coord.etcd_cluster import Attempt
from sidecar.coord.etcd_member import Member
from sidecar.coord.store import VALUE_LIMIT_BYTES, Batch, StoreFull
from tests import parts
from tests.coord.client import LIMIT_S, eventually, using
from tests.coord.cluster import EtcdCluster
from tests.coord.contract import now, seen


@pytest.fixture(scope="module")
def cluster(etcd_binary: Path) -> Iterator[EtcdCluster]:
    with EtcdCluster.running(etcd_binary, size=1) as cluster:
        yield cluster


async def fill(store: EtcdStore) -> None:
    for number in range(100):
        await store.put(f"/full/{number}", bytes(VALUE_LIMIT_BYTES))


async def test_no_space(etcd_binary: Path) -> None:
    with EtcdCluster.running(etcd_binary, f"--quota-backend-bytes={16 << 20}", size=1) as cluster:
        async with using(cluster) as store:
            lease = await store.grant(60.0)
            await store.put("/full/leased", b"1", lease=lease)
            with pytest.raises(StoreFull):
                await fill(store)
            after = await now(store, "/full/")
            with pytest.raises(StoreFull):
                await store.compare_and_set("/full/small", b"1", 0)
            with pytest.raises(StoreFull):
                await store.grant(60.0)
            assert await store.get("/full/0") is not None
            assert await store.keep_alive(lease) > 0
            async with store.watch("/full/", after) as batches:
                assert await store.delete("/full/0")
                await seen(batches, 1)
            (line,) = await store.health()
            assert line.startswith(f"127.0.0.1:{cluster.nodes[0].client}: NOSPACE: has no space")


async def test_ten_thousand_keys(cluster: EtcdCluster) -> None:
    async with using(cluster, timeout_s=5.0) as store:
        for start in range(0, 10_000, 500):
            await asyncio.gather(*(store.put(f"/many/{number:05}", b"1") for number in range(start, start + 500)))

        async def overwrite() -> None:
            for number in range(9_990, 10_000):
                await store.put(f"/many/{number:05}", b"2")

        listing, _ = await asyncio.gather(store.list("/many/"), overwrite())
        assert [entry.key for entry in listing.entries] == [f"/many/{number:05}" for number in range(10_000)]
        assert max(entry.modified for entry in listing.entries) <= listing.revision
        # What was overwritten while the pages were read is in the listing only up to its revision: a prefix of it.
        values = b"".join(entry.value for entry in listing.entries[9_990:])
        assert values == values.rstrip(b"1").ljust(10, b"1")


async def test_a_listing_whose_revision_is_forgotten_midway(
    cluster: EtcdCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_KEYS", 2)
    async with using(cluster) as store:
        for number in range(5):
            await store.put(f"/midway/{number}", b"1")
        request = EtcdStore._request
        pages = 0

        async def forgetful(self: EtcdStore, *arguments: Any) -> Any:
            nonlocal pages
            pages += 1
            response = await request(self, *arguments)
            if pages == 1:
                cluster.compact(await self.put("/midway/0", b"2"))
            return response

        with monkeypatch.context() as patch:
            patch.setattr(EtcdStore, "_request", forgetful)
            listing = await store.list("/midway/")
        assert [entry.value for entry in listing.entries] == [b"2", b"1", b"1", b"1", b"1"]
        assert pages > 4


async def test_much_to_catch_up_on(cluster: EtcdCluster) -> None:
    """Twelve changes of half a megabyte each are one response in fragments, and more than gRPC takes by default."""
    async with using(cluster, timeout_s=5.0) as store:
        after = await now(store, "/much/")
        values = [bytes([number]) * VALUE_LIMIT_BYTES for number in range(12)]
        for value in values:
            await store.put("/much/k", value)
        async with store.watch("/much/", after) as batches:
            found = await seen(batches, 12)
        assert [batch.events[0].entry.value for batch in found] == values


async def test_one_change_of_many_keys(cluster: EtcdCluster) -> None:
    """What happens together comes together, even where it is several messages."""
    async with using(cluster, timeout_s=5.0) as store:
        after = await now(store, "/together/")
        lease = await store.grant(60.0)
        key = "/together/" + "x" * 200_000
        for number in range(12):
            await store.put(f"{key}{number}", b"", lease=lease)
        await store.revoke(lease)
        async with store.watch("/together/", after) as batches:
            found = await seen(batches, 24)
        assert [len(batch.events) for batch in found] == [1] * 12 + [12]


async def test_an_idle_watch_lives_on(cluster: EtcdCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is written since its start etcd answers no progress request: that is no reason to give it up."""
    async with using(cluster, timeout_s=0.1) as store:
        asked: list[Member] = []
        at = store._cluster.at

        async def counted(member: Member, attempt: Attempt[Any]) -> Any:
            asked.append(member)
            return await at(member, attempt)

        monkeypatch.setattr(store._cluster, "at", counted)
        async with store.watch("/idle/", await now(store, "/idle/")) as batches:
            waiting = asyncio.ensure_future(anext(batches))
            await eventually(lambda: len(asked) >= 3)
            assert not waiting.done()
            revision = await store.put("/beside", b"1")
            async with asyncio.timeout(LIMIT_S):
                assert await waiting == Batch(revision)
            await store.put("/idle/k", b"1")
            await seen(batches, 1)


async def test_quiet_watches_are_looked_after_together(cluster: EtcdCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request for progress answers for all that are quiet, and nothing is read."""
    async with using(cluster) as store, AsyncExitStack() as stack:
        begun = await now(store, "/quiet/")
        watches = [await stack.enter_async_context(store.watch(f"/quiet/{number}", begun)) for number in range(5)]
        (stream,) = store._streams._streams.values()
        asked: list[Any] = []
        put = stream._outbox.put_nowait

        def counted(request: Any) -> None:
            asked.append(request)
            put(request)

        monkeypatch.setattr(stream._outbox, "put_nowait", counted)
        await store.put("/quiet/0", b"1")  # the member has written since they began
        await seen(watches[0], 1)
        revision = await store.put("/beside", b"1")
        monkeypatch.setattr(store._cluster, "at", None)
        async with asyncio.timeout(LIMIT_S):
            for batches in watches:
                assert await anext(batches) == Batch(revision)
        assert {request.WhichOneof("request_union") for request in asked} == {"progress_request"}
        assert len(asked) < len(watches)  # one is made twice where the answer is late


async def test_reading_a_watch_may_be_given_up_and_taken_up_again(cluster: EtcdCluster) -> None:
    async with using(cluster) as store, store.watch("/given-up/", await now(store, "/given-up/")) as batches:
        for number in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(batches), 0.01)
            await store.put("/given-up/k", b"%d" % number)
            (batch,) = await seen(batches, 1)
            assert batch.events[0].entry.value == b"%d" % number


async def test_progress_that_etcd_reports_by_itself(etcd_binary: Path) -> None:
    with EtcdCluster.running(etcd_binary, "--watch-progress-notify-interval=100ms", size=1) as cluster:
        async with using(cluster, timeout_s=30.0) as store, store.watch("/w/", await now(store, "/w/")) as batches:
            revision = await store.put("/beside", b"1")
            async with asyncio.timeout(LIMIT_S):
                assert await anext(batches) == Batch(revision)


async def test_health_names_who_is_not_well(etcd_binary: Path) -> None:
    with EtcdCluster.running(etcd_binary) as cluster:
        async with using(cluster, timeout_s=0.5) as store:
            assert await store.health() == []
            away, frozen, _ = cluster.nodes
            away.kill()
            with frozen.frozen():
                first, second, *third = await store.health()
            assert first.startswith(f"127.0.0.1:{away.client}: ")
            assert "onnection refused" in first
            assert second.startswith(f"127.0.0.1:{frozen.client}: ")
            assert third == [] or "no leader" in third[0]  # once it has noticed that it is alone


async def test_health_names_an_etcd_that_is_too_old(etcd_binary: Path) -> None:
    old = parts.fallback("etcd")
    if old is None:
        pytest.skip("no older etcd is installed")
    with EtcdCluster.running(old, size=1) as cluster:
        async with using(cluster) as store:
            (line,) = await store.health()
            assert line.endswith(f"{cluster.nodes[0].client}: etcd 3.5.1 has known faults: use 3.5.23 or newer, or 3.6")
