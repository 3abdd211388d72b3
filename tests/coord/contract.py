"""What every Store promises, written once: a backend's tests derive from StoreContract and give the fixtures.

`store` is a store that may have other keys, `prefix` a folder of the test's own in it, `compact` makes it forget.
Watches are read with a limit in time: a store that hangs fails.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.coord.store import (
    ABSENT,
    VALUE_LIMIT_BYTES,
    Batch,
    Compacted,
    Event,
    Fence,
    FenceLost,
    KeyValue,
    Kind,
    LeaseGone,
    Store,
    StoreFull,
    StoreUnavailable,
    WentBack,
)

LIMIT_S = 15.0
BINARY = bytes(range(256))
KEYS = ("plain", "with space", "ключ", "\u00e9\u00fc\u00ff", "\U0001f511", "\x00\x7f", "\U0010ffff")
STEP = st.tuples(st.sampled_from(["put", "set", "guess", "delete"]), st.integers(0, 2), st.binary(max_size=3))

Compact = Callable[[Store], Awaitable[None]]


async def seen(batches: AsyncIterator[Batch], count: int) -> list[Batch]:
    """Batches with events, until they have `count` of them. What comes in between only moves the revision on."""
    found: list[Batch] = []
    last = 0
    async with asyncio.timeout(LIMIT_S):
        while sum(len(batch.events) for batch in found) < count:
            batch = await anext(batches)
            assert batch.revision > last
            last = batch.revision
            if batch.events:
                found.append(batch)
    return found


async def events(store: Store, prefix: str, after: int, count: int) -> list[Event]:
    """The next events of a new watch."""
    async with store.watch(prefix, after) as batches:
        return [event for batch in await seen(batches, count) for event in batch.events]


async def failure(store: Store, prefix: str, after: int) -> None:
    """Follows a watch until it raises."""
    async with asyncio.timeout(LIMIT_S), store.watch(prefix, after) as batches:
        while True:
            await anext(batches)


async def now(store: Store, prefix: str) -> int:
    return (await store.list(prefix)).revision


class StoreContract:
    # Reading and writing

    async def test_any_bytes_under_any_key(self, store: Store, prefix: str) -> None:
        for number, key in enumerate(KEYS):
            value = BINARY + bytes([number])
            revision = await store.put(prefix + key, value)
            assert await store.get(prefix + key) == KeyValue(prefix + key, value, revision, revision)
        listing = await store.list(prefix)
        assert [entry.key for entry in listing.entries] == sorted(prefix + key for key in KEYS)
        assert [await store.delete(prefix + key) for key in KEYS] == [True] * len(KEYS)
        assert (await store.list(prefix)).entries == ()

    async def test_what_is_not_there(self, store: Store, prefix: str) -> None:
        assert await store.get(prefix + "k") is None
        assert not await store.delete(prefix + "k")
        assert (await store.list(prefix)).entries == ()

    async def test_an_empty_value_is_there(self, store: Store, prefix: str) -> None:
        await store.put(prefix + "k", b"")
        found = await store.get(prefix + "k")
        assert found is not None
        assert found.value == b""

    async def test_revisions_grow(self, store: Store, prefix: str) -> None:
        first = await store.put(prefix + "a", b"1")
        other = await store.put(prefix + "b", b"1")
        second = await store.put(prefix + "a", b"2")
        assert first < other < second
        found = await store.get(prefix + "a")
        assert found == KeyValue(prefix + "a", b"2", first, second)
        await store.delete(prefix + "a")
        third = await store.put(prefix + "a", b"3")
        found = await store.get(prefix + "a")
        assert found == KeyValue(prefix + "a", b"3", third, third)
        assert third > second + 1

    async def test_a_listing_has_the_prefix_only(self, store: Store, prefix: str) -> None:
        for key in ("a", "a/2", "a/10", "ab", "b", "A/1"):
            await store.put(prefix + key, key.encode())
        listing = await store.list(prefix + "a/")
        assert [(entry.key, entry.value) for entry in listing.entries] == [
            (prefix + "a/10", b"a/10"),
            (prefix + "a/2", b"a/2"),
        ]
        assert listing.revision >= max(entry.modified for entry in (await store.list(prefix)).entries)

    async def test_a_value_has_a_limit(self, store: Store, prefix: str) -> None:
        await store.put(prefix + "k", bytes(VALUE_LIMIT_BYTES))
        with pytest.raises(StoreFull):
            await store.put(prefix + "k", bytes(VALUE_LIMIT_BYTES + 1))
        with pytest.raises(StoreFull):
            await store.compare_and_set(prefix + "l", bytes(VALUE_LIMIT_BYTES + 1), ABSENT)
        found = await store.get(prefix + "k")
        assert found is not None
        assert len(found.value) == VALUE_LIMIT_BYTES

    # Compare and set

    async def test_compare_and_set_creates_once(self, store: Store, prefix: str) -> None:
        created = await store.compare_and_set(prefix + "k", b"1", ABSENT)
        assert created is not None
        assert created == await store.get(prefix + "k")
        assert created.created == created.modified
        assert await store.compare_and_set(prefix + "k", b"2", ABSENT) is None
        assert await store.get(prefix + "k") == created

    async def test_compare_and_set_replaces_what_is_expected(self, store: Store, prefix: str) -> None:
        first = await store.put(prefix + "k", b"1")
        replaced = await store.compare_and_set(prefix + "k", b"2", first)
        assert replaced is not None
        assert replaced == await store.get(prefix + "k")
        assert (replaced.created, replaced.modified > first) == (first, True)
        for other in (first, replaced.modified + 1, ABSENT):
            assert await store.compare_and_set(prefix + "k", b"3", other) is None
        assert await store.get(prefix + "k") == replaced

    async def test_one_of_many_wins(self, store: Store, prefix: str) -> None:
        key = prefix + "k"
        modified = ABSENT
        for turn in range(5):
            tries = (store.compare_and_set(key, b"%d %d" % (turn, number), modified) for number in range(10))
            won = [entry for entry in await asyncio.gather(*tries) if entry is not None]
            assert won == [await store.get(key)]
            modified = won[0].modified

    async def test_delete_what_is_expected(self, store: Store, prefix: str) -> None:
        revision = await store.put(prefix + "k", b"1")
        assert not await store.delete(prefix + "k", revision + 1)
        assert not await store.delete(prefix + "k", ABSENT)
        assert await store.delete(prefix + "k", revision)
        assert not await store.delete(prefix + "k", revision)
        assert not await store.delete(prefix + "k", ABSENT)

    # Fences

    async def test_writes_of_the_holder(self, store: Store, prefix: str) -> None:
        fence = Fence(prefix + "lock", await store.put(prefix + "lock", b"mine"))
        await store.put(fence.key, b"still mine", fence=fence)
        first = await store.put(prefix + "k", b"1", fence=fence)
        second = await store.compare_and_set(prefix + "k", b"2", first, fence=fence)
        assert second is not None
        assert await store.compare_and_set(prefix + "k", b"3", first, fence=fence) is None
        assert not await store.delete(prefix + "k", first, fence=fence)
        assert await store.delete(prefix + "k", second.modified, fence=fence)
        assert not await store.delete(prefix + "k", fence=fence)
        assert await store.delete(fence.key, fence=fence)

    @pytest.mark.parametrize("taken", [False, True])
    async def test_writes_of_a_former_holder(self, store: Store, prefix: str, taken: bool) -> None:
        fence = Fence(prefix + "lock", await store.put(prefix + "lock", b"mine"))
        before = await store.put(prefix + "k", b"1", fence=fence)
        await store.delete(fence.key)
        if taken:
            assert await store.put(fence.key, b"another's") > fence.token
        for write in (
            store.put(prefix + "k", b"2", fence=fence),
            store.put(fence.key, b"2", fence=fence),
            store.compare_and_set(prefix + "k", b"2", before, fence=fence),
            store.compare_and_set(prefix + "k", b"2", before + 100, fence=fence),
            store.compare_and_set(prefix + "new", b"2", ABSENT, fence=fence),
            store.delete(prefix + "k", fence=fence),
            store.delete(prefix + "k", before, fence=fence),
            store.delete(prefix + "new", fence=fence),
        ):
            with pytest.raises(FenceLost):
                await write
        assert await store.get(prefix + "k") == KeyValue(prefix + "k", b"1", before, before)
        assert await store.get(prefix + "new") is None

    # Leases

    async def test_a_lease_holds_keys(self, store: Store, prefix: str) -> None:
        lease = await store.grant(30.0)
        assert lease.ttl_s >= 30
        await store.put(prefix + "a", b"1", lease=lease)
        created = await store.compare_and_set(prefix + "b", b"1", ABSENT, lease=lease)
        assert created is not None
        assert created.lease == lease.id
        assert [entry.lease for entry in (await store.list(prefix)).entries] == [lease.id, lease.id]
        assert 0 < await store.keep_alive(lease) <= lease.ttl_s
        await store.put(prefix + "b", b"2")
        after = await now(store, prefix)
        await store.revoke(lease)
        (left,) = (await store.list(prefix)).entries
        assert (left.key, left.lease) == (prefix + "b", 0)
        (gone,) = await events(store, prefix, after, 1)
        assert (gone.kind, gone.entry.key) == (Kind.DELETE, prefix + "a")

    async def test_a_lease_that_has_gone(self, store: Store, prefix: str) -> None:
        lease = await store.grant(30.0)
        await store.revoke(lease)
        await store.revoke(lease)
        for use in (
            store.put(prefix + "k", b"1", lease=lease),
            store.compare_and_set(prefix + "k", b"1", ABSENT, lease=lease),
            store.keep_alive(lease),
        ):
            with pytest.raises(LeaseGone):
                await use
        assert await store.get(prefix + "k") is None

    async def test_a_lease_that_nobody_renews_expires(self, store: Store, prefix: str) -> None:
        kept, left = await store.grant(1.0), await store.grant(1.0)
        await store.put(prefix + "kept", b"1", lease=kept)
        await store.put(prefix + "a", b"1", lease=left)
        after = await store.put(prefix + "b", b"1", lease=left)
        async with store.watch(prefix, after) as batches:
            expiry = asyncio.ensure_future(seen(batches, 2))
            while not expiry.done():
                assert await store.keep_alive(kept) > 0
                await asyncio.wait([expiry], timeout=0.2)
            (batch,) = expiry.result()
        assert [(event.kind, event.entry.key) for event in batch.events] == [
            (Kind.DELETE, prefix + "a"),
            (Kind.DELETE, prefix + "b"),
        ]
        assert [entry.key for entry in (await store.list(prefix)).entries] == [prefix + "kept"]
        with pytest.raises(LeaseGone):
            await store.keep_alive(left)
        await store.revoke(kept)

    # Watches

    async def test_a_watch_sees_what_comes_after_it(self, store: Store, prefix: str) -> None:
        await store.put(prefix + "k", b"before")
        async with store.watch(prefix, await now(store, prefix)) as batches:
            created = await store.put(prefix + "ключ", BINARY)
            replaced = await store.put(prefix + "ключ", b"")
            await store.put(prefix[:-1] + "-beside", b"not here")
            await store.delete(prefix + "ключ")
            found = await seen(batches, 3)
        put, again, gone = (event for batch in found for event in batch.events)
        assert put == Event(Kind.PUT, KeyValue(prefix + "ключ", BINARY, created, created))
        assert again == Event(Kind.PUT, KeyValue(prefix + "ключ", b"", created, replaced))
        assert (gone.kind, gone.entry.key, gone.entry.value) == (Kind.DELETE, prefix + "ключ", b"")
        assert gone.entry.modified > replaced
        assert [batch.revision for batch in found] == [created, replaced, gone.entry.modified]

    async def test_what_happens_together_comes_together(self, store: Store, prefix: str) -> None:
        lease = await store.grant(30.0)
        for number in range(5):
            await store.put(f"{prefix}{number}", b"", lease=lease)
        async with store.watch(prefix, await now(store, prefix)) as batches:
            await store.revoke(lease)
            (batch,) = await seen(batches, 5)
        assert {event.entry.modified for event in batch.events} == {batch.revision}

    async def test_a_watch_resumes_anywhere(self, store: Store, prefix: str) -> None:
        start = await now(store, prefix)
        revisions = [await store.put(f"{prefix}{number % 3}", b"%d" % number) for number in range(8)]
        whole = await events(store, prefix, start, 8)
        assert [event.entry.modified for event in whole] == revisions
        for number, revision in enumerate(revisions[:-1], 1):
            assert await events(store, prefix, revision, 8 - number) == whole[number:]

    async def test_a_listing_and_a_watch_from_it_miss_nothing(self, store: Store, prefix: str) -> None:
        async def write() -> None:
            for number in range(200):
                await store.put(f"{prefix}{number % 7}", b"%d" % number)

        async def follow() -> dict[str, bytes]:
            listing = await store.list(prefix)
            model = {entry.key: entry.value for entry in listing.entries}
            async with store.watch(prefix, listing.revision) as batches:
                while model.get(prefix + "3") != b"199":  # 199 % 7
                    (batch,) = await seen(batches, 1)
                    model |= {event.entry.key: event.entry.value for event in batch.events}
            return model

        writing = asyncio.ensure_future(write())
        models = await asyncio.gather(*(follow() for _ in range(3)))
        await writing
        last = {entry.key: entry.value for entry in (await store.list(prefix)).entries}
        assert models == [last] * 3

    async def test_a_watch_of_a_store_that_went_back(self, store: Store, prefix: str) -> None:
        with pytest.raises(WentBack):
            await failure(store, prefix, await now(store, prefix) + 1000)

    async def test_a_watch_of_what_is_forgotten(self, store: Store, prefix: str, compact: Compact) -> None:
        forgotten = await store.put(prefix + "k", b"1")
        for number in range(3):
            await store.put(prefix + "k", b"%d" % number)
        await compact(store)
        with pytest.raises(Compacted):
            await failure(store, prefix, forgotten)
        after = await now(store, prefix)
        await store.put(prefix + "k", b"last")
        (event,) = await events(store, prefix, after, 1)
        assert event.entry.value == b"last"

    # The end

    async def test_a_closed_store(self, store: Store, prefix: str) -> None:
        assert await store.health() == []
        async with store.watch(prefix, await now(store, prefix)) as batches:
            waiting = asyncio.ensure_future(seen(batches, 1))
            await asyncio.sleep(0)
            await store.close()
            with pytest.raises(StoreUnavailable):
                await waiting
        with pytest.raises(StoreUnavailable):
            await store.get(prefix + "k")

    # All of it

    @settings(
        max_examples=200,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(steps=st.lists(STEP, max_size=12))
    async def test_any_history(self, store: Store, prefix: str, steps: list[tuple[str, int, bytes]]) -> None:
        """Writes of any kind, guessed revisions included, leave what a dict would hold, and a watch tells it all."""
        prefix = f"{prefix}{secrets.token_hex(8)}/"
        model: dict[str, bytes] = {}
        modified: dict[str, int] = {}
        told: list[tuple[Kind, str, bytes]] = []
        async with store.watch(prefix, await now(store, prefix)) as batches:
            for step, number, value in steps:
                key = f"{prefix}{number}"
                last = modified.get(key, ABSENT)
                if step == "put":
                    modified[key] = await store.put(key, value)
                elif step == "set":
                    entry = await store.compare_and_set(key, value, last)
                    assert entry is not None
                    modified[key] = entry.modified
                elif step == "guess":
                    assert await store.compare_and_set(key, value, last + 1) is None
                else:
                    assert await store.delete(key, last or None) == (key in model)
                    if model.pop(key, None) is not None:
                        told.append((Kind.DELETE, key, b""))
                        del modified[key]
                if modified.get(key, last) > last:
                    model[key] = value
                    told.append((Kind.PUT, key, value))
            found = [event for batch in await seen(batches, len(told)) for event in batch.events]
        assert {entry.key: entry.value for entry in (await store.list(prefix)).entries} == model
        assert [(event.kind, event.entry.key, event.entry.value) for event in found] == told
