import asyncio
import random

import pytest

from sidecar.coord.memory import MemoryStore
from sidecar.coord.session import FAREWELL, Session
from sidecar.coord.store import VALUE_LIMIT_BYTES, Fence, Lease, StoreDenied, StoreFull
from tests.coord.flaky import FlakyStore
from tests.coord.virtual_time import clock, virtual
from tests.coord.waiting import until

TTL_S = 15.0


def flaky() -> FlakyStore:
    return FlakyStore(MemoryStore(clock=clock()))


def session_of(store: FlakyStore, seed: int = 1) -> Session:
    return Session(store, TTL_S, clock=clock(), dice=random.Random(seed))


async def content(store: FlakyStore) -> dict[str, bytes]:
    return {entry.key: entry.value for entry in (await store.inner.list("")).entries}


@virtual
async def test_keys_live_as_long_as_the_session() -> None:
    store = flaky()
    session = session_of(store)
    assert not session.valid()
    session.start()
    lease = await session.ready()
    assert session.valid()
    assert session.valid(TTL_S - 1)
    assert not session.valid(TTL_S + 1)
    assert await session.put("a", b"1")
    entry = await store.get("a")
    assert entry is not None
    assert entry.lease == lease.id
    await asyncio.sleep(1000)
    assert await content(store) == {"a": b"1"}
    assert (session.lease, session.losses) == (lease, 0)
    assert 190 <= store.calls.count("keep_alive") <= 210
    await session.close()
    assert await content(store) == {}
    assert not session.valid()


@virtual
async def test_a_farewell_goes_before_the_end_of_the_lease() -> None:
    store = flaky()
    session = session_of(store)
    session.start()
    await session.ready()
    for key in ("a", "b", "c"):
        await session.put(key, b"here")
    await store.put("b", b"of somebody else")
    await store.delete("c")
    assert await session.farewell()
    await asyncio.sleep(TTL_S)
    assert await content(store) == {"a": FAREWELL, "b": b"of somebody else"}
    await session.close()
    assert await content(store) == {"b": b"of somebody else"}
    assert not await session.farewell()


@virtual
async def test_a_farewell_that_nobody_hears() -> None:
    store = flaky()
    session = session_of(store)
    session.start()
    await session.ready()
    await session.put("a", b"here")
    store.cut()
    assert not await session.farewell()
    await session.close()


@virtual
async def test_what_has_not_changed_is_not_written_again() -> None:
    store = flaky()
    session = session_of(store)
    session.start()
    await session.ready()
    for _ in range(3):
        assert await session.put("a", b"1")
    assert await session.put("a", b"2")
    await asyncio.sleep(100)
    assert store.writes("a") == 2
    assert await content(store) == {"a": b"2"}
    await session.remove("a")
    await session.remove("a")
    assert await content(store) == {}
    assert store.calls.count("delete a") == 1
    await session.close()


@virtual
async def test_what_is_put_before_the_lease_is_there_comes_with_it() -> None:
    store = flaky()
    store.cut()
    session = session_of(store)
    assert not await session.put("a", b"1")
    session.start()
    await until(lambda: session.reason, "it notices")
    assert not await session.put("b", b"1")
    await session.remove("b")
    store.mend()
    await session.ready()
    await until(lambda: store.writes("a"), "its turn")
    assert session.losses == 0
    await session.close()


@virtual
async def test_a_short_silence_is_no_loss() -> None:
    store = flaky()
    session = session_of(store)
    session.start()
    await session.ready()
    await session.put("a", b"1")
    store.cut()
    await asyncio.sleep(8)
    assert session.valid()
    assert "cut" in session.reason
    assert not await session.put("a", b"2")
    assert not await session.put("b", b"1")
    assert not session.valid(TTL_S - 5)
    store.mend()
    await until(lambda: store.writes("b") == 2, "what it owes")
    assert await content(store) == {"a": b"2", "b": b"1"}
    assert (session.losses, session.reason) == (0, "")
    await session.close()


@virtual
async def test_it_ends_before_the_store_can_give_it_away() -> None:
    store = flaky()
    session = session_of(store)
    session.start()
    await session.ready()
    store.cut()
    await session.lapse(margin_s=3)
    assert session.valid()
    await session.lapse()
    assert not session.valid()
    assert clock().monotonic_s() <= 1000 + TTL_S + 0.1
    assert session.lease is not None
    await session.close()


@virtual
async def test_after_a_loss_everything_is_put_anew() -> None:
    store = flaky()
    session = session_of(store)
    lost: list[float] = []
    session.subscribe_lost(lambda: lost.append(clock().monotonic_s()))
    session.start()
    lease = await session.ready()
    for key in ("a", "b", "c"):
        await session.put(key, b"1")
    await session.remove("b")
    store.cut()
    await asyncio.sleep(60)
    assert not session.valid()
    assert await content(store) == {}
    store.mend()
    await session.gone(lease)
    again = await session.ready()
    await until(lambda: store.writes("c") == 2, "the keys")
    assert again != lease
    assert (session.losses, len(lost)) == (1, 1)
    assert await content(store) == {"a": b"1", "c": b"1"}
    await session.close()


@virtual
async def test_those_who_lost_together_come_back_one_by_one() -> None:
    store = flaky()
    sessions = [session_of(store, seed) for seed in range(20)]
    for session in sessions:
        session.start()
        lease = await session.ready()
        await store.inner.revoke(lease)
    back_s: list[float] = []
    while len(back_s) < 20:
        await asyncio.sleep(0.01)
        back_s += [clock().monotonic_s()] * (
            sum(session.losses and session.valid() for session in sessions) - len(back_s)
        )
    assert max(back_s) - min(back_s) > TTL_S / 6
    for session in sessions:
        await session.close()


@virtual
async def test_a_write_that_finds_the_lease_gone_is_made_good_at_once() -> None:
    store = flaky()
    session = session_of(store)
    session.start()
    lease = await session.ready()
    await store.inner.revoke(lease)
    before_s = clock().monotonic_s()
    assert not await session.put("a", b"1")
    assert session.losses == 1
    await until(lambda: store.writes("a") == 2, "it is put under the next lease")
    assert clock().monotonic_s() - before_s < TTL_S / 3 + 0.1
    assert await content(store) == {"a": b"1"}
    await session.close()


class _Still:
    """A clock that has stopped: the store lets no lease expire, as etcd after a change of its leader."""

    def monotonic_s(self) -> float:
        return 0.0

    def monotonic_ns(self) -> int:
        return 0


@virtual
async def test_after_a_pause_its_keys_are_looked_up() -> None:
    store = FlakyStore(MemoryStore(clock=_Still()))
    session = session_of(store)
    session.start()
    lease = await session.ready()
    for key in ("there", "deleted", "replaced", "taken"):
        await session.put(key, b"1")
    await store.inner.delete("deleted")
    await store.inner.put("replaced", b"2", lease=lease)
    await store.inner.put("taken", b"1")
    clock().stall(TTL_S + 1)
    assert not session.valid()
    await session.ready()
    await until(lambda: store.writes("taken") == 2, "it is put again")
    assert store.writes("there") == 1
    assert session.losses == 0
    assert await content(store) == dict.fromkeys(["there", "deleted", "replaced", "taken"], b"1")
    await session.close()


@virtual
async def test_a_process_that_was_stopped_knows_that_its_lease_has_gone() -> None:
    store = flaky()
    session = session_of(store)
    session.start()
    await session.ready()
    await session.put("a", b"1")
    clock().stall(30)
    assert not session.valid()
    await session.ready()
    await until(lambda: store.writes("a") == 2, "the key")
    assert session.losses == 1
    await session.close()


@virtual
async def test_what_no_repetition_mends_is_raised_and_repeated() -> None:
    store = flaky()
    session = session_of(store)
    session.start()
    await session.ready()
    with pytest.raises(StoreFull):
        await session.put("a", bytes(VALUE_LIMIT_BYTES + 1))
    store.fault = StoreDenied("no rights")
    with pytest.raises(StoreDenied):
        await session.put("a", b"1")
    store.mend()
    await until(lambda: store.writes("a") == 2, "another try")
    await asyncio.sleep(1)
    assert await content(store) == {"a": b"1"}
    await session.close()


class _Tardy(FlakyStore):
    """Renewals are answered late."""

    async def keep_alive(self, lease: Lease) -> float:
        good_s = await super().keep_alive(lease)
        await asyncio.sleep(4)
        return good_s


@virtual
async def test_the_time_that_counts_is_that_of_sending() -> None:
    store = _Tardy(MemoryStore(clock=clock()))
    session = session_of(store)
    session.start()
    await session.ready()
    await until(lambda: "keep_alive" in store.calls, "a renewal")
    sent_s = clock().monotonic_s()
    await asyncio.sleep(4.1)
    store.cut()
    await session.lapse()
    assert clock().monotonic_s() == pytest.approx(sent_s + TTL_S, abs=0.1)
    await session.close()


class _Slow(FlakyStore):
    """Writes hang, as without a quorum."""

    hangs = False

    async def put(self, key: str, value: bytes, *, lease: Lease | None = None, fence: Fence | None = None) -> int:
        if self.hangs:
            await asyncio.sleep(60)
        return await super().put(key, value, lease=lease, fence=fence)


@virtual
async def test_writes_that_hang_do_not_hold_up_keepalives() -> None:
    store = _Slow(MemoryStore(clock=clock()))
    session = session_of(store)
    session.start()
    await session.ready()
    store.hangs = True
    writes = [asyncio.create_task(session.put(f"{number}", b"1")) for number in range(4)]
    while not all(write.done() for write in writes):
        await asyncio.sleep(1)
        assert session.valid()
    assert session.losses == 0
    await session.close()


@virtual
async def test_what_is_discarded_goes_as_soon_as_it_can() -> None:
    store = flaky()
    session = session_of(store)
    session.start()
    lease = await session.ready()
    await store.put("mine", b"", lease=lease)
    store.cut()
    await session.discard("mine")
    await session.discard("late", unanswered=lease)
    store.mend()
    await asyncio.sleep(1)
    assert await content(store) == {}
    await asyncio.sleep(10 * TTL_S)
    await store.put("late", b"", lease=lease)  # it was on its way, at a member that was frozen
    await asyncio.sleep(TTL_S)
    assert await content(store) == {}
    assert store.calls.count("delete mine") == 2, "once in vain, once for good"
    await session.close()


@virtual
async def test_a_key_put_again_is_not_discarded() -> None:
    store = flaky()
    session = session_of(store)
    session.start()
    await session.ready()
    await session.put("a", b"1")
    store.cut()
    await session.remove("a")
    store.mend()
    assert await session.put("a", b"1")
    await asyncio.sleep(60)
    assert await content(store) == {"a": b"1"}
    await session.close()


@virtual
async def test_closing_without_a_store_leaves_the_lease_to_expire() -> None:
    store = flaky()
    session = session_of(store)
    session.start()
    await session.ready()
    await session.put("a", b"1")
    store.cut()
    await session.close()
    assert await content(store) == {"a": b"1"}
    await asyncio.sleep(TTL_S + 1)
    assert await content(store) == {}
