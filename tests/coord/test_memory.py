import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from sidecar.coord.memory import RESERVED_REVISIONS, MemoryStore
from sidecar.coord.state_file import Image, StateFile, StoreUnreadable, StoreUnwritable
from sidecar.coord.store import (
    ABSENT,
    VALUE_LIMIT_BYTES,
    Batch,
    Compacted,
    Fence,
    FenceLost,
    Kind,
    LeaseGone,
    StoreFull,
    StoreUnavailable,
    WentBack,
)
from sidecar.errors import Exit
from tests.coord.virtual_time import clock, virtual


async def test_what_is_written_is_read() -> None:
    store = MemoryStore()
    first = await store.put("/a/1", b"one")
    second = await store.put("/a/1", b"two")
    await store.put("/b", b"")
    assert second == first + 1
    entry = await store.get("/a/1")
    assert entry is not None
    assert (entry.value, entry.created, entry.modified, entry.lease) == (b"two", first, second, 0)
    listing = await store.list("/a/")
    assert (listing.revision, listing.entries) == (second + 1, (entry,))
    assert await store.get("/c") is None


async def test_compare_and_set_writes_only_over_what_is_expected() -> None:
    store = MemoryStore()
    created = await store.compare_and_set("k", b"1", ABSENT)
    assert created is not None
    assert await store.compare_and_set("k", b"2", ABSENT) is None
    assert await store.compare_and_set("k", b"2", created.modified + 1) is None
    replaced = await store.compare_and_set("k", b"2", created.modified)
    assert replaced is not None
    assert (replaced.created, replaced.modified) == (created.created, created.modified + 1)
    assert not await store.delete("k", created.modified)
    assert await store.delete("k", replaced.modified)
    assert not await store.delete("k")


async def test_a_fence_forbids_the_writes_of_a_former_holder() -> None:
    store = MemoryStore()
    token = await store.put("lock", b"me")
    fence = Fence("lock", token)
    await store.put("lock", b"still me")
    await store.put("k", b"1", fence=fence)
    await store.delete("lock")
    await store.put("lock", b"another")
    before = (await store.list("")).revision
    with pytest.raises(FenceLost):
        await store.put("k", b"2", fence=fence)
    with pytest.raises(FenceLost):
        await store.compare_and_set("k", b"2", ABSENT, fence=fence)
    with pytest.raises(FenceLost):
        await store.delete("k", fence=fence)
    assert (await store.list("")).revision == before


async def test_a_value_has_a_limit() -> None:
    store = MemoryStore()
    await store.put("k", bytes(VALUE_LIMIT_BYTES))
    with pytest.raises(StoreFull):
        await store.put("k", bytes(VALUE_LIMIT_BYTES + 1))


@virtual
async def test_a_lease_that_nobody_renews_takes_its_keys_along_at_once() -> None:
    store = MemoryStore(clock=clock())
    lease, other = await store.grant(10), await store.grant(30)
    await store.put("a", b"", lease=lease)
    await store.put("b", b"", lease=lease)
    await store.put("c", b"", lease=other)
    await store.put("d", b"", lease=lease)
    after = await store.put("d", b"hangs on nothing now")
    await asyncio.sleep(9)
    assert await store.keep_alive(lease) == 10
    await asyncio.sleep(9)
    assert len((await store.list("")).entries) == 4
    async with store.watch("", after) as batches:
        batch = await anext(batches)  # nobody asks for anything meanwhile
    assert [(event.kind, event.entry.key) for event in batch.events] == [(Kind.DELETE, "a"), (Kind.DELETE, "b")]
    assert clock().monotonic_s() == pytest.approx(1019, abs=0.1)
    with pytest.raises(LeaseGone):
        await store.keep_alive(lease)
    with pytest.raises(LeaseGone):
        await store.put("a", b"", lease=lease)
    await store.revoke(lease)
    assert [entry.key for entry in (await store.list("")).entries] == ["c", "d"]


@virtual
async def test_a_short_lease_after_a_long_one_ends_in_time() -> None:
    store = MemoryStore(clock=clock())
    await store.grant(1000)
    after = await store.put("a", b"", lease=await store.grant(2))
    async with store.watch("a", after) as batches:
        await anext(batches)
    assert clock().monotonic_s() == pytest.approx(1002, abs=0.1)


@virtual
async def test_revoking_deletes_the_keys_in_one_batch() -> None:
    store = MemoryStore(clock=clock())
    lease = await store.grant(10)
    await store.put("a", b"", lease=lease)
    after = await store.put("b", b"", lease=lease)
    await store.revoke(lease)
    async with store.watch("", after) as batches:
        batch = await anext(batches)
    assert (batch.revision, len(batch.events)) == (after + 1, 2)


async def test_a_watch_has_every_change_once_and_in_order() -> None:
    store = MemoryStore()
    start = (await store.list("")).revision
    heard: list[Batch] = []

    async def listen(prefix: str, count: int) -> None:
        async with store.watch(prefix, start) as batches:
            async for batch in batches:
                heard.append(batch)
                if len(heard) == count:
                    return

    listener = asyncio.create_task(listen("/a", 3))
    for number in range(3):
        await store.put(f"/a/{number}", b"")
        await store.put("/b", b"")
        await asyncio.sleep(0)
    await asyncio.wait_for(listener, 20)
    assert [batch.revision for batch in heard] == [start + 1, start + 3, start + 5]
    async with store.watch("/a", start + 1) as batches:
        assert [await anext(batches), await anext(batches)] == heard[1:]


async def test_a_watch_cannot_look_back_for_ever_nor_ahead() -> None:
    store = MemoryStore(history_events=10)
    start = await store.put("k", b"")
    for _ in range(10):
        await store.put("k", b"")
    async with store.watch("k", start) as batches:
        assert (await anext(batches)).revision == start + 1
    await store.put("k", b"")
    with pytest.raises(Compacted):
        async with store.watch("k", start):
            pass
    with pytest.raises(WentBack):
        async with store.watch("k", start + 100):
            pass


async def test_a_watch_that_falls_behind_is_told() -> None:
    store = MemoryStore(history_events=10)
    start = await store.put("k", b"")
    async with store.watch("k", start) as batches:
        for _ in range(11):
            await store.put("k", b"")
        with pytest.raises(Compacted):
            await anext(batches)
    now = await store.put("k", b"")
    store.compact()
    async with store.watch("k", now) as batches:
        await store.put("k", b"")
        assert (await anext(batches)).revision == now + 1


async def test_a_watch_of_a_quiet_prefix_hears_of_progress() -> None:
    store = MemoryStore()
    async with store.watch("quiet", 1) as batches:
        for _ in range(1000):
            await store.put("busy", b"")
        assert await anext(batches) == Batch(1001)


async def test_closing_ends_watches_and_calls() -> None:
    store = MemoryStore()
    async with store.watch("", 1) as batches:
        waiting = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(StoreUnavailable):
            await waiting
    with pytest.raises(StoreUnavailable):
        await store.get("k")


async def test_a_file_keeps_what_hangs_on_no_lease(tmp_path: Path) -> None:
    file = tmp_path / "state" / "store"
    store = MemoryStore(file)
    await store.put("/k", b"\x00\xff")
    kept = await store.get("/k")
    await store.put("/gone", b"")
    await store.delete("/gone")
    lease = await store.grant(60)
    await store.put("/leased", b"", lease=lease)
    await store.put("/turned", b"", lease=lease)
    await store.put("/turned", b"stays")
    last = await store.put("/k2", b"", lease=lease)
    await store.close()

    again = MemoryStore(file)
    listing = await again.list("")
    assert [entry.key for entry in listing.entries] == ["/k", "/turned"]
    assert listing.entries[0] == kept
    assert await again.put("/k", b"on") > last
    with pytest.raises(Compacted):
        async with again.watch("", last):
            pass
    with pytest.raises(LeaseGone):
        await again.keep_alive(lease)
    await again.close()


async def test_revisions_of_leased_writes_are_not_given_out_again(tmp_path: Path) -> None:
    file = tmp_path / "store"
    highest = 0
    for _ in range(3):
        store = MemoryStore(file)
        lease = await store.grant(60)
        for _ in range(3):
            revision = await store.put("k", b"", lease=lease)
            assert revision > highest
            highest = revision
        await store.close()


async def test_the_reserve_of_revisions_is_renewed(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "store")
    await store.put("k", b"")
    store._revision += RESERVED_REVISIONS - 10
    highest = await store.put("k", b"", lease=await store.grant(60))
    await store.close()
    again = MemoryStore(tmp_path / "store")
    assert await again.put("k", b"") > highest
    await again.close()


@pytest.mark.parametrize("at", ["head", "body", "end", "all", "content"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, at: str) -> None:
    file = tmp_path / "store"

    async def fill() -> None:
        store = MemoryStore(file)
        await store.put("k", b"value")
        await store.close()

    asyncio.run(fill())
    whole = file.read_bytes()
    damaged = {
        "head": b"X" + whole[1:],
        "body": whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:],
        "end": whole[:-1],
        "all": b"",
        "content": b"spangate-store 1 ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb\na",
    }[at]
    file.write_bytes(damaged)
    with pytest.raises(StoreUnreadable, match=str(file)) as raised:
        MemoryStore(file)
    assert raised.value.exit_code is Exit.STORE
    assert file.read_bytes() == damaged


async def test_a_full_disk_refuses_the_writer_and_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "store"
    store = MemoryStore(file)
    await store.put("k", b"1")
    before = await store.list("")
    lease = await store.grant(60)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreFull, match="no space left"):
            await store.put("k", b"2")
        with pytest.raises(StoreFull):
            await store.delete("k")
        assert await store.list("") == before
        assert "no space left" in (await store.health())[0]
        await store.put("leased", b"", lease=lease)
    await store.put("k", b"3")
    assert await store.health() == []
    await store.close()
    again = MemoryStore(file)
    assert [entry.value for entry in (await again.list("")).entries] == [b"3"]
    await again.close()


async def test_a_file_that_cannot_be_written_can_still_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "store"
    store = MemoryStore(file)
    await store.put("k", b"1")
    await store.close()
    real = os.open

    def denied(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", denied)
    store = MemoryStore(file)
    with pytest.raises(StoreUnwritable, match="read-only") as raised:
        await store.put("k", b"2")
    assert raised.value.exit_code is Exit.PATH_UNWRITABLE
    entry = await store.get("k")
    assert entry is not None
    assert entry.value == b"1"
    await store.put("leased", b"", lease=await store.grant(60))
    await store.close()


async def test_two_stores_do_not_share_a_file(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "store")
    with pytest.raises(StoreUnwritable, match="in use"):
        MemoryStore(tmp_path / "store")
    await store.close()
    await MemoryStore(tmp_path / "store").close()


async def test_a_cancelled_writer_leaves_nothing_half_done(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "store")
    writers = [asyncio.create_task(store.put(f"k{number}", b"")) for number in range(5)]
    await asyncio.sleep(0)
    writers[0].cancel()
    await asyncio.wait(writers)
    shown = (await store.list("")).entries
    await store.close()
    again = MemoryStore(tmp_path / "store")
    assert (await again.list("")).entries == shown
    await again.close()


class _Hand:
    """A clock that a test turns."""

    now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def monotonic_ns(self) -> int:
        return round(self.now_s * 1e9)


async def test_leases_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hand, save = _Hand(), StateFile.save
    begun, go_on = threading.Event(), threading.Event()
    store = MemoryStore(tmp_path / "store", hand)
    after = await store.put("k", b"", lease=await store.grant(1))

    def slow(self: StateFile, image: Image) -> None:
        begun.set()
        assert go_on.wait(20)
        save(self, image)

    monkeypatch.setattr(StateFile, "save", slow)
    write = asyncio.create_task(store.put("lasting", b""))
    assert await asyncio.to_thread(begun.wait, 20)
    hand.now_s += 5  # the lease ends
    assert (await store.list("")).revision == after
    go_on.set()
    assert await write == after + 1
    async with store.watch("", after + 1) as batches:
        assert [event.entry.key for event in (await anext(batches)).events] == ["k"]
    await store.close()
