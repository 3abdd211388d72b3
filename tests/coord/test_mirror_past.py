"""A store that was wiped and has come as far again: a watch that resumes would leave out what it did until then."""

import asyncio
import random

from sidecar.coord.backoff import LONGEST_S
from sidecar.coord.memory import MemoryStore
from sidecar.coord.mirror import SETTLE_S, Mirror
from sidecar.coord.replica import Change
from tests.coord.flaky import FlakyStore
from tests.coord.virtual_time import clock, virtual
from tests.coord.waiting import until


async def mirror_before(store: FlakyStore) -> Mirror:
    """A mirror with ten keys, and then the connection is cut and the store another one."""
    for number in range(10):
        await store.put(f"/a/{number}", b"old")
    mirror = Mirror(store, "/a/", clock=clock(), dice=random.Random(1))
    mirror.start()
    await mirror.ready()
    store.cut()
    store.inner = MemoryStore(clock=clock())
    return mirror


async def overtake(store: FlakyStore) -> None:
    """The new store's revision is above the former one's, and it is there."""
    for number in range(20):
        await store.inner.put(f"/b/{number}", b"")
    store.mend()


@virtual
async def test_it_is_noticed_at_once() -> None:
    store = FlakyStore(MemoryStore(clock=clock()))
    mirror = await mirror_before(store)
    changes: list[Change] = []
    mirror.subscribe(changes.append)
    await store.inner.put("/a/3", b"new")
    await overtake(store)
    began_s = clock().time()
    await until(lambda: [one.value for one in mirror.entries.values()] == [b"new"], "the new content")
    assert clock().time() - began_s < SETTLE_S
    assert all(change.relisted for change in changes)
    assert (mirror.relists, mirror.resync_diff) == (1, 0)
    await mirror.stop()


@virtual
async def test_where_it_has_nothing_to_say_it_is_noticed_soon() -> None:
    """That somebody has deleted the keys since may be what the watch is about to bring."""
    store = FlakyStore(MemoryStore(clock=clock()))
    mirror = await mirror_before(store)
    await overtake(store)
    await asyncio.sleep(SETTLE_S + LONGEST_S)
    assert mirror.entries == {}
    await mirror.stop()
