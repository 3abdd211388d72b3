import asyncio
import contextlib
import random

import pytest

from sidecar.coord.lock import Lock, LockBusy
from sidecar.coord.memory import MemoryStore
from sidecar.coord.session import Session
from sidecar.coord.store import Fence, FenceLost, KeyValue, Lease, StoreUnavailable
from sidecar.errors import Exit
from tests.coord.flaky import FlakyStore
from tests.coord.virtual_time import clock, virtual
from tests.coord.waiting import until

TTL_S = 10.0
FOLDER = "/lock/config/"


class Holder:
    """A process that wants the lock."""

    def __init__(self, shared: MemoryStore, name: str) -> None:
        dice = random.Random(name)
        self.store = FlakyStore(shared)
        self.session = Session(self.store, TTL_S, clock=clock(), dice=dice)
        self.lock = Lock(self.store, self.session, FOLDER, holder=name, dice=dice)
        self.session.start()


async def waiting(shared: MemoryStore) -> int:
    return len((await shared.list(FOLDER)).entries)


@virtual
async def test_one_at_a_time_in_the_order_of_asking() -> None:
    shared = MemoryStore(clock=clock())
    holders = [Holder(shared, f"h{number}") for number in range(5)]
    held: list[int] = []
    tokens: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(number / 10)
        async with holders[number].lock.held(timeout_s=60) as fence:
            held.append(number)
            tokens.append(fence.token)
            await shared.put("/k", b"", fence=fence)
            await asyncio.sleep(1)
            assert held[-1] == number

    await asyncio.gather(*map(work, range(5)))
    assert held == [0, 1, 2, 3, 4]
    assert tokens == sorted(set(tokens))
    assert await waiting(shared) == 0
    for holder in holders:
        await holder.session.close()


@virtual
async def test_two_tasks_of_one_process_exclude_each_other() -> None:
    shared = MemoryStore(clock=clock())
    holder = Holder(shared, "h")
    inside = 0

    async def work() -> None:
        nonlocal inside
        async with holder.lock.held(timeout_s=60):
            inside += 1
            assert inside == 1
            await asyncio.sleep(1)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(5)))
    await holder.session.close()


@virtual
async def test_waiting_has_an_end_and_names_the_holder() -> None:
    shared = MemoryStore(clock=clock())
    one, other = Holder(shared, "anna@gw-1"), Holder(shared, "ben@gw-2")
    async with one.lock.held(timeout_s=1):
        with pytest.raises(LockBusy, match="anna@gw-1 holds /lock/config") as raised:
            async with other.lock.held(timeout_s=3):
                pytest.fail("nobody may get here")
        assert raised.value.exit_code is Exit.REFUSED
        assert await waiting(shared) == 1
    async with other.lock.held(timeout_s=1):
        pass
    assert await waiting(shared) == 0
    await one.session.close()
    await other.session.close()


@virtual
async def test_an_exception_lets_go_of_it() -> None:
    shared = MemoryStore(clock=clock())
    holder = Holder(shared, "h")
    with pytest.raises(ZeroDivisionError):
        async with holder.lock.held(timeout_s=1):
            raise ZeroDivisionError
    assert await waiting(shared) == 0
    await holder.session.close()


@virtual
async def test_cancellation_lets_go_of_it_whether_held_or_waiting() -> None:
    shared = MemoryStore(clock=clock())
    one, other = Holder(shared, "one"), Holder(shared, "other")

    async def work(holder: Holder) -> None:
        async with holder.lock.held(timeout_s=600):
            await asyncio.sleep(600)

    tasks = [asyncio.create_task(work(one))]
    await asyncio.sleep(1)
    tasks.append(asyncio.create_task(work(other)))
    await asyncio.sleep(1)
    assert await waiting(shared) == 2
    for task, left in zip(reversed(tasks), (1, 0), strict=True):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert await waiting(shared) == left
    await one.session.close()
    await other.session.close()


@virtual
async def test_a_crash_lets_go_of_it_by_the_lease() -> None:
    shared = MemoryStore(clock=clock())
    one, other = Holder(shared, "one"), Holder(shared, "other")
    async with one.lock.held(timeout_s=1) as fence:
        one.store.cut()  # all that others see of a crash
        async with other.lock.held(timeout_s=TTL_S * 2) as next_fence:
            assert next_fence.token > fence.token
            with pytest.raises(FenceLost):
                await shared.put("/k", b"", fence=fence)
            await shared.put("/k", b"", fence=next_fence)
    await one.session.close()
    await other.session.close()


@virtual
async def test_letting_go_while_the_store_is_away_is_made_good() -> None:
    shared = MemoryStore(clock=clock())
    one, other = Holder(shared, "one"), Holder(shared, "other")
    async with one.lock.held(timeout_s=1):
        one.store.cut()
    one.store.mend()
    async with other.lock.held(timeout_s=5):
        assert one.session.losses == 0
    await one.session.close()
    await other.session.close()


@virtual
async def test_asking_whose_answer_got_lost_blocks_nobody() -> None:
    shared = MemoryStore(clock=clock())
    one, other = Holder(shared, "one"), Holder(shared, "other")
    await one.session.ready()
    one.store.late = True
    with pytest.raises(StoreUnavailable):
        async with one.lock.held(timeout_s=0.001):
            pytest.fail("nobody may get here")
    one.store.late = False
    async with other.lock.held(timeout_s=1):
        pass
    await one.session.close()
    await other.session.close()


class _Lagging(FlakyStore):
    """A write whose answer has been given up is still on its way."""

    async def compare_and_set(
        self, key: str, value: bytes, expected: int, *, lease: Lease | None = None, fence: Fence | None = None
    ) -> KeyValue | None:
        async def arrive() -> None:
            await asyncio.sleep(2)
            await self.inner.compare_and_set(key, value, expected, lease=lease, fence=fence)

        self.under_way = asyncio.create_task(arrive())
        raise StoreUnavailable("no answer in time")


@virtual
async def test_asking_that_arrives_late_blocks_nobody() -> None:
    shared = MemoryStore(clock=clock())
    dice = random.Random(1)
    store = _Lagging(shared)
    session = Session(store, TTL_S, clock=clock(), dice=dice)
    session.start()
    await session.ready()
    with pytest.raises(StoreUnavailable):
        async with Lock(store, session, FOLDER, holder="one", dice=dice).held(timeout_s=0.01):
            pytest.fail("nobody may get here")
    await store.under_way
    assert await waiting(shared) == 1
    other = Holder(shared, "other")
    async with other.lock.held(timeout_s=TTL_S):
        assert session.losses == 0
    await session.close()
    await other.session.close()


@virtual
async def test_without_a_store_there_is_no_lock() -> None:
    holder = Holder(MemoryStore(clock=clock()), "h")
    holder.store.cut()
    with pytest.raises(StoreUnavailable, match="the cable is cut"):
        async with holder.lock.held(timeout_s=3):
            pytest.fail("nobody may get here")
    await holder.session.close()


@virtual
async def test_whoever_loses_his_lease_while_waiting_lines_up_again() -> None:
    shared = MemoryStore(clock=clock())
    one, other = Holder(shared, "one"), Holder(shared, "other")
    got: list[int] = []

    async def wait() -> None:
        async with other.lock.held(timeout_s=60) as fence:
            got.append(fence.token)

    async with one.lock.held(timeout_s=1):
        task = asyncio.create_task(wait())
        await asyncio.sleep(1)
        await shared.revoke(await other.session.ready())
        await until(lambda: other.session.losses, "it is noticed")
        await other.session.ready()
        await asyncio.sleep(1)
        assert await waiting(shared) == 2
        assert not got
    await task
    assert got
    assert await waiting(shared) == 0
    await one.session.close()
    await other.session.close()
