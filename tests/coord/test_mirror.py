import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.coord.memory import MemoryStore
from sidecar.coord.mirror import Mirror, MirrorState
from sidecar.coord.replica import Change, Replica
from sidecar.coord.store import Batch, Compacted, Event, KeyValue, Kind, Listing, StoreDenied
from tests.coord.flaky import FlakyStore
from tests.coord.virtual_time import clock, virtual
from tests.coord.waiting import until

NEVER_S = 1e9


class Shadow:
    """What a subscriber makes of the changes."""

    def __init__(self, mirror: Mirror) -> None:
        self.entries = dict(mirror.entries)
        self.changes: list[Change] = []
        mirror.subscribe(self.take)

    def take(self, change: Change) -> None:
        self.changes.append(change)
        for entry in change.put:
            self.entries[entry.key] = entry
        for entry in change.deleted:
            assert self.entries.pop(entry.key) == entry


def mirror_of(store: FlakyStore, *, resync_every_s: float = NEVER_S) -> Mirror:
    return Mirror(store, "/a/", clock=clock(), dice=random.Random(1), resync_every_s=resync_every_s)


def values(mirror: Mirror) -> dict[str, bytes]:
    return {entry.key: entry.value for entry in mirror.entries.values()}


@virtual
async def test_it_has_what_is_there_and_what_comes() -> None:
    store = FlakyStore(MemoryStore(clock=clock()))
    await store.put("/a/1", b"one")
    await store.put("/b/1", b"not ours")
    mirror = mirror_of(store)
    shadow = Shadow(mirror)
    mirror.start()
    await mirror.ready()
    assert values(mirror) == {"/a/1": b"one"}
    assert shadow.changes[0].relisted
    await until(lambda: mirror.state is MirrorState.WATCHING, "a watch")
    await store.put("/a/2", b"two")
    await store.delete("/a/1")
    await mirror.reached(5)
    assert values(mirror) == {"/a/2": b"two"}
    assert shadow.entries == dict(mirror.entries)
    assert (shadow.changes[2].put, [entry.value for entry in shadow.changes[2].deleted]) == ((), [b"one"])
    assert (mirror.batches, mirror.events, mirror.relists, mirror.resumes) == (2, 2, 0, 0)
    await mirror.stop()
    assert values(mirror) == {"/a/2": b"two"}


@virtual
async def test_it_resumes_where_it_was() -> None:
    store = FlakyStore(MemoryStore(clock=clock()))
    mirror = mirror_of(store)
    mirror.start()
    await mirror.ready()
    await mirror.reached(await store.put("/a/1", b"one"))
    store.cut()
    await store.inner.put("/a/1", b"changed meanwhile")
    await until(lambda: mirror.state is MirrorState.AWAY, "it notices")
    assert "cut" in mirror.reason
    await asyncio.sleep(60)
    assert mirror.since_s >= 59
    assert mirror.age_s >= 59
    assert store.calls.count("watch /a/") < 30
    assert values(mirror) == {"/a/1": b"one"}
    store.mend()
    await until(lambda: values(mirror) == {"/a/1": b"changed meanwhile"}, "it catches up")
    assert (mirror.state, mirror.reason, mirror.relists, mirror.resumes) == (MirrorState.WATCHING, "", 0, 1)
    await until(lambda: store.calls.count("list /a/") == 2, "a look whether the store has the past that it had")
    assert mirror.relists == 0
    assert mirror.age_s < 1
    await mirror.stop()


@virtual
async def test_after_compaction_it_lists_and_tells_the_difference() -> None:
    inner = MemoryStore(clock=clock())
    store = FlakyStore(inner)
    for number in range(3):
        await store.put(f"/a/{number}", b"old")
    mirror = mirror_of(store)
    mirror.start()
    await mirror.ready()
    shadow = Shadow(mirror)
    store.cut()
    await inner.put("/a/0", b"new")
    await inner.delete("/a/1")
    await inner.put("/a/3", b"new")
    inner.compact()
    store.mend()
    await until(lambda: mirror.relists == 1, "a relist")
    (change,) = shadow.changes
    assert change.relisted
    assert {entry.key for entry in change.put} == {"/a/0", "/a/3"}
    assert [(entry.key, entry.value) for entry in change.deleted] == [("/a/1", b"old")]
    await mirror.stop()


@virtual
async def test_a_store_that_was_wiped_is_believed() -> None:
    store = FlakyStore(MemoryStore(clock=clock()))
    for number in range(10):
        await store.put(f"/a/{number}", b"")
    mirror = mirror_of(store)
    mirror.start()
    await mirror.ready()
    store.drop_watches()
    store.inner = MemoryStore(clock=clock())
    await store.put("/a/new", b"")
    await until(lambda: list(mirror.entries) == ["/a/new"], "the new content")
    assert mirror.revision == 2
    assert mirror.relists == 1
    await mirror.stop()


@virtual
async def test_denied_it_keeps_what_it_has_and_says_so() -> None:
    store = FlakyStore(MemoryStore(clock=clock()))
    await store.put("/a/1", b"one")
    mirror = mirror_of(store)
    mirror.start()
    await mirror.ready()
    store.cut(StoreDenied("no rights"))
    await until(lambda: mirror.state is MirrorState.DENIED, "it notices")
    await asyncio.sleep(60)
    assert (mirror.state, mirror.reason) == (MirrorState.DENIED, "no rights")
    assert values(mirror) == {"/a/1": b"one"}
    store.mend()
    await until(lambda: mirror.state is MirrorState.WATCHING, "it is let in again")
    await mirror.stop()


@virtual
async def test_it_starts_while_the_store_is_away() -> None:
    store = FlakyStore(MemoryStore(clock=clock()))
    store.cut()
    mirror = mirror_of(store)
    mirror.start()
    await until(lambda: mirror.state is MirrorState.AWAY, "it notices")
    store.mend()
    await mirror.ready()
    assert mirror.relists == 0
    await mirror.stop()


@virtual
async def test_a_resync_finds_what_the_watch_has_lost() -> None:
    store = FlakyStore(MemoryStore(clock=clock()))
    await store.put("/a/1", b"")
    await store.put("/a/2", b"")
    mirror = mirror_of(store, resync_every_s=300)
    mirror.start()
    await mirror.ready()
    shadow = Shadow(mirror)
    store.loses = lambda event: event.entry.key != "/a/4"
    await store.delete("/a/1")
    await store.put("/a/3", b"")
    await store.put("/a/4", b"")
    await until(lambda: "/a/4" in mirror.entries, "what is not lost")
    assert sorted(mirror.entries) == ["/a/1", "/a/2", "/a/4"]
    await until(lambda: mirror.resync_diff, "a resync", limit_s=400)
    assert sorted(mirror.entries) == ["/a/2", "/a/3", "/a/4"]
    assert mirror.resync_diff == 2
    assert shadow.entries == dict(mirror.entries)
    await asyncio.sleep(1000)
    assert mirror.resync_diff == 2
    await mirror.stop()


@virtual
async def test_a_resync_under_load_finds_nothing() -> None:
    store = FlakyStore(MemoryStore(clock=clock()))
    mirror = mirror_of(store, resync_every_s=1)
    mirror.start()
    dice = random.Random(2)
    for _ in range(500):
        await (store.put if dice.random() < 0.7 else _delete(store))(f"/a/{dice.randrange(5)}", b"")
        await asyncio.sleep(dice.random() / 10)
    assert store.calls.count("list /a/") > 10
    assert mirror.resync_diff == 0
    await mirror.stop()


@virtual
async def test_a_resync_gives_a_late_watch_its_time() -> None:
    store = FlakyStore(MemoryStore(clock=clock()))
    store.delay_s = 1
    mirror = mirror_of(store, resync_every_s=2)
    mirror.start()
    for number in range(100):
        await store.put(f"/a/{number % 3}", b"%d" % number)
        await asyncio.sleep(1.5)
    assert store.calls.count("list /a/") > 10
    assert mirror.resync_diff == 0
    await mirror.stop()


def _delete(store: FlakyStore) -> Callable[[str, bytes], Any]:
    async def delete(key: str, value: bytes) -> None:
        await store.delete(key)

    return delete


@virtual
async def test_a_subscriber_that_fails_harms_nobody() -> None:
    store = FlakyStore(MemoryStore(clock=clock()))
    mirror = mirror_of(store)
    reported: list[dict[str, Any]] = []
    clock().set_exception_handler(lambda _, context: reported.append(context))

    def fails(change: Change) -> None:
        raise ZeroDivisionError

    end = mirror.subscribe(fails)
    shadow = Shadow(mirror)
    mirror.start()
    await mirror.ready()
    await store.put("/a/1", b"")
    await until(lambda: shadow.entries, "the other one hears of it")
    assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]
    end()
    end()
    await store.put("/a/1", b"2")
    await until(lambda: len(shadow.changes) == 2, "the next change")
    assert len(reported) == 1
    await mirror.stop()


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 5)),
        st.tuples(st.just("delete"), st.integers(0, 5)),
        st.tuples(st.just("lease"), st.integers(0, 5)),
        st.tuples(st.sampled_from(["compact", "cut", "mend", "drop", "wipe"]), st.just(0)),
        st.tuples(st.just("sleep"), st.sampled_from([0, 0.01, 1, 30])),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(OPERATIONS, st.integers(0, 1000), st.booleans())
def test_whatever_happens_the_mirror_ends_as_the_store(
    operations: list[tuple[str, float]], seed: int, wipes: bool
) -> None:
    @virtual
    async def check() -> None:
        store = FlakyStore(MemoryStore(clock=clock(), history_events=20))
        mirror = Mirror(store, "/a/", clock=clock(), dice=random.Random(seed), resync_every_s=NEVER_S)
        shadow = Shadow(mirror)
        mirror.start()
        for operation, number in operations:
            await _do(store, operation, number, wipes=wipes)
        store.mend()
        listing = await store.list("/a/")
        while not (mirror.state is MirrorState.WATCHING and tuple(sorted(mirror.entries)) == _keys(listing)):
            listing = await store.list("/a/")
            await asyncio.sleep(1)
            assert clock().monotonic_s() < 10_000
        await asyncio.sleep(20)
        listing = await store.list("/a/")  # leases have expired meanwhile
        assert tuple(mirror.entries[key] for key in sorted(mirror.entries)) == listing.entries
        assert shadow.entries == dict(mirror.entries)
        assert wipes or mirror.resync_diff == 0
        await mirror.stop()

    check()


async def _do(store: FlakyStore, operation: str, number: float, *, wipes: bool) -> None:
    key = f"/a/{number}"
    match operation:
        case "put":
            await store.inner.put(key, b"x")
        case "delete":
            await store.inner.delete(key)
        case "lease":
            await store.inner.put(key, b"leased", lease=await store.inner.grant(5))
        case "compact" if isinstance(store.inner, MemoryStore):
            store.inner.compact()
        case "cut":
            store.cut()
        case "mend":
            store.mend()
        case "drop" if store.fault is None:
            store.drop_watches()
        case "wipe" if wipes:
            former, store.inner = store.inner, MemoryStore(clock=clock(), history_events=20)
            await former.close()
        case "sleep":
            await asyncio.sleep(number)


def _keys(listing: Listing) -> tuple[str, ...]:
    return tuple(entry.key for entry in listing.entries)


def entry(key: str, modified: int, value: bytes = b"") -> KeyValue:
    return KeyValue(key, value, 1, modified)


def test_a_batch_is_one_change_whatever_happens_within_it() -> None:
    replica = Replica()
    replica.replace(Listing(5, (entry("was", 4), entry("stays", 5))))
    events = [
        Event(Kind.PUT, entry("brief", 6)),
        Event(Kind.DELETE, entry("was", 6)),
        Event(Kind.DELETE, entry("brief", 7)),
        Event(Kind.PUT, entry("new", 7)),
        Event(Kind.PUT, entry("stays", 7, b"other")),
    ]
    change = replica.apply(Batch(7, tuple(events)))
    assert change == Change((entry("new", 7), entry("stays", 7, b"other")), (entry("was", 4),))
    assert replica.revision == 7


def test_a_comparison_passes_over_what_the_watch_has_brought_meanwhile() -> None:
    replica = Replica()
    replica.replace(Listing(5, (entry("a", 3), entry("b", 4), entry("c", 5))))
    replica.begin_comparison()
    replica.apply(Batch(8, (Event(Kind.PUT, entry("a", 7)), Event(Kind.DELETE, entry("b", 8)))))
    listing = Listing(6, (entry("a", 3), entry("b", 4), entry("d", 6)))
    assert replica.compare(listing) == Change((entry("d", 6),), (entry("c", 5),), relisted=True)


def test_events_that_are_known_are_passed_over() -> None:
    replica = Replica()
    replica.replace(Listing(5, (entry("k", 5),)))
    assert replica.apply(Batch(5, (Event(Kind.DELETE, entry("k", 5)),))) == Change()
    assert replica.apply(Batch(9)) == Change()
    assert replica.revision == 9


async def test_it_starts_only_once() -> None:
    mirror = Mirror(MemoryStore(), "/a/", clock=_Still(), dice=random.Random(1))
    mirror.start()
    with pytest.raises(RuntimeError):
        mirror.start()
    await mirror.stop()
    await mirror.stop()


class _Still:
    def monotonic_s(self) -> float:
        return 0.0

    def monotonic_ns(self) -> int:
        return 0


@virtual
async def test_what_the_store_protocol_does_not_foresee_is_reported() -> None:
    store = FlakyStore(MemoryStore(clock=clock()))
    reported: list[dict[str, Any]] = []
    clock().set_exception_handler(lambda _, context: reported.append(context))
    store.fault = ZeroDivisionError()  # type: ignore[assignment]
    mirror = mirror_of(store)
    mirror.start()
    await until(lambda: reported, "a report")
    assert "mirror of /a/" in reported[0]["message"]
    await mirror.stop()


@virtual
async def test_a_compaction_that_never_ends_is_met_with_patience() -> None:
    store = FlakyStore(MemoryStore(clock=clock()))
    mirror = mirror_of(store)
    store.cut(Compacted("always"))
    mirror.start()
    await asyncio.sleep(100)
    assert store.calls.count("list /a/") < 60
    await mirror.stop()
