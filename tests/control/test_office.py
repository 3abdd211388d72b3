"""Terms of office: one after the other, and given up when the duty fails."""

import asyncio
import random
from collections.abc import Callable, Coroutine

import pytest

from sidecar.control.office import Office
from sidecar.coord.backoff import Backoff
from sidecar.coord.election import Election, Leadership
from sidecar.coord.memory import MemoryStore
from sidecar.coord.session import Session
from sidecar.coord.store import StoreFull
from tests.control.members import Connection, seen
from tests.coord.virtual_time import clock, virtual

TTL_S = 9.0
FOLDER = "/election/x/"


class Candidate:
    """An office on a connection of its own."""

    def __init__(
        self, shared: MemoryStore, seed: int, duty: Callable[[Leadership], Coroutine[None, None, None]]
    ) -> None:
        dice = random.Random(seed)
        self.store = Connection(shared)
        self.session = Session(self.store, TTL_S, clock=clock(), dice=dice)
        election = Election(self.store, self.session, FOLDER, dice=dice)
        self.office = Office("x", election, duty, backoff=Backoff(dice))
        self.session.start()
        self.office.start()

    async def end(self) -> None:
        await self.office.stop()
        await self.session.close()


async def for_ever(_leadership: Leadership) -> None:
    await asyncio.Event().wait()


@virtual
async def test_who_fails_lets_another_do_it_at_once() -> None:
    shared, failed = MemoryStore(clock=clock()), asyncio.Event()

    async def fails(_leadership: Leadership) -> None:
        await failed.wait()
        raise StoreFull("no space")

    one = Candidate(shared, 1, fails)
    await seen(lambda: one.office.leading, "the first leads")
    two = Candidate(shared, 2, for_ever)
    await seen(two.session.valid, "the second is there")
    await asyncio.sleep(1)
    failed.set()
    began_s = clock().time()
    await seen(lambda: two.office.leading, "the second leads")
    assert clock().time() - began_s < 1.0, "without waiting for a lease, or for its next heartbeat"
    await one.end()
    await two.end()


@pytest.mark.parametrize("error", [StoreFull("no space"), ValueError("a fault of ours")])
def test_a_duty_that_always_fails_is_tried_less_and_less(error: Exception) -> None:
    @virtual
    async def scene() -> None:
        async def fails(_leadership: Leadership) -> None:
            raise error

        one = Candidate(MemoryStore(clock=clock()), 1, fails)
        await asyncio.sleep(300)
        assert 20 < one.office.terms < 200
        await one.end()

    scene()


@virtual
async def test_terms_do_not_overlap() -> None:
    at_work: list[int] = []
    most: list[int] = [0]

    async def slow_to_end(_leadership: Leadership) -> None:
        at_work.append(1)
        most[0] = max(most[0], len(at_work))
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(5)
            at_work.pop()

    one = Candidate(MemoryStore(clock=clock()), 1, slow_to_end)
    for _ in range(5):
        await seen(lambda: one.office.leading, "it leads")
        await asyncio.sleep(0.5)
        await one.office._election.resign()
    await one.end()
    assert most[0] == 1
    assert at_work == []


@virtual
async def test_the_last_words_of_a_duty_count() -> None:
    shared = MemoryStore(clock=clock())

    async def speaks(leadership: Leadership) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            assert leadership.valid()
            await shared.put("/last", b"words", fence=leadership.fence)

    one = Candidate(shared, 1, speaks)
    await seen(lambda: one.office.leading, "it leads")
    await asyncio.sleep(0.1)
    await one.end()
    assert await shared.get("/last") is not None
    assert (await shared.list(FOLDER)).entries == (), "it has resigned"
