import asyncio
import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.coord.backoff import Backoff
from sidecar.coord.election import Election, Leadership
from sidecar.coord.memory import MemoryStore
from sidecar.coord.session import Session
from sidecar.coord.store import FenceLost, StoreUnavailable
from sidecar.coord.turn import PlaceLost, Turn
from tests.coord.flaky import FlakyStore
from tests.coord.virtual_time import clock, virtual
from tests.coord.waiting import until

TTL_S = 10.0
FOLDER = "/election/global/"


class Candidate:
    """A gateway with a connection of its own."""

    def __init__(self, shared: MemoryStore, name: str, seed: int = 1) -> None:
        self.name = name
        self.store = FlakyStore(shared)
        dice = random.Random(seed)
        self.session = Session(self.store, TTL_S, clock=clock(), dice=dice)
        self.election = Election(self.store, self.session, FOLDER, name.encode(), dice=dice)
        self.story: list[int | str] = []
        """Tokens of what it gained, and `lost`."""
        self.session.start()
        self._task = asyncio.create_task(self.election.run(self._gained, lambda: self.story.append("lost")))

    def _gained(self, leadership: Leadership) -> None:
        assert leadership.valid()
        self.story.append(leadership.token)

    @property
    def leads(self) -> bool:
        leadership = self.election.leadership
        return leadership is not None and leadership.valid()

    def puts(self) -> int:
        return sum(call.startswith(f"put {FOLDER}") for call in self.store.calls)

    async def stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self.session.close()


async def three(shared: MemoryStore) -> list[Candidate]:
    """Candidates in a line, the first of whom leads."""
    found = []
    for number in range(3):
        candidate = Candidate(shared, f"g{number}", number)
        found.append(candidate)
        await until(candidate.puts, "it lines up")
    await until(lambda: found[0].leads, "the first leads")
    return found


@virtual
async def test_one_leads_and_the_next_in_line_follows() -> None:
    shared = MemoryStore(clock=clock())
    first, second, third = await three(shared)
    await asyncio.sleep(100)
    assert [candidate.leads for candidate in (first, second, third)] == [True, False, False]
    leader = await third.election.leader()
    assert leader is not None
    assert (leader.value, leader.created) == (b"g0", first.story[0])
    await first.stop()
    await until(lambda: second.leads, "the second leads", 1)
    assert not third.leads
    assert first.story == [first.story[0], "lost"]
    assert second.story[0] > first.story[0]  # type: ignore[operator]
    await second.stop()
    await until(lambda: third.leads, "the third leads", 1)
    await third.stop()
    assert (await shared.list("")).entries == ()


@virtual
async def test_whoever_waits_watches_his_predecessor_only() -> None:
    shared = MemoryStore(clock=clock())
    first, second, third = await three(shared)
    listed = third.store.calls.count(f"list {FOLDER}")
    await first.stop()
    await until(lambda: second.leads, "the second leads")
    await asyncio.sleep(1)
    assert third.store.calls.count(f"list {FOLDER}") == listed
    await second.stop()
    await third.stop()


@virtual
async def test_one_in_the_middle_may_go() -> None:
    shared = MemoryStore(clock=clock())
    first, second, third = await three(shared)
    await second.stop()
    await asyncio.sleep(1)
    assert [candidate.leads for candidate in (first, second, third)] == [True, False, False]
    await first.stop()
    await until(lambda: third.leads, "the third leads")
    await third.stop()


@virtual
async def test_a_leader_that_is_cut_off_stops_before_another_begins() -> None:
    shared = MemoryStore(clock=clock())
    first, second, third = await three(shared)
    fence = first.election.leadership.fence if first.election.leadership else None
    assert fence is not None
    first.store.cut()
    await until(lambda: first.story[-1] == "lost", "it stops")
    assert first.session.valid()  # the margin
    assert not first.leads
    assert not second.leads
    await until(lambda: second.leads, "the next one")
    with pytest.raises(FenceLost):
        await shared.put("/sampling/target", b"of yesterday", fence=fence)
    first.store.mend()
    await asyncio.sleep(60)
    assert [candidate.leads for candidate in (first, second, third)] == [False, True, False]
    for candidate in (first, second, third):
        await candidate.stop()


@virtual
async def test_a_leader_that_was_stopped_does_not_believe_that_it_leads() -> None:
    shared = MemoryStore(clock=clock())
    candidate = Candidate(shared, "g0")
    await until(lambda: candidate.leads, "it leads")
    clock().stall(30)
    assert not candidate.leads
    await until(lambda: candidate.leads, "it leads again")
    first, lost, second = candidate.story
    assert lost == "lost"
    assert isinstance(first, int)
    assert isinstance(second, int)
    assert second > first
    await candidate.stop()


@virtual
async def test_a_leader_whose_key_was_deleted_notices_and_lines_up() -> None:
    shared = MemoryStore(clock=clock())
    first, second, third = await three(shared)
    leader = await first.election.leader()
    assert leader is not None
    await shared.delete(leader.key)
    await until(lambda: second.leads and not first.leads, "the second leads")
    await until(lambda: first.story[-1] == "lost", "it is told")
    for candidate in (second, third, first):
        await until(lambda turn=candidate: turn.leads, "its turn")  # type: ignore[misc]
        await candidate.stop()


@virtual
async def test_one_whose_key_was_deleted_in_the_line_does_not_lead() -> None:
    shared = MemoryStore(clock=clock())
    first, second, third = await three(shared)
    (_, mine, _) = sorted((await shared.list(FOLDER)).entries, key=lambda entry: entry.created)
    assert mine.value == b"g1"
    await shared.delete(mine.key)
    await first.stop()
    await until(lambda: third.leads, "the third leads")
    await asyncio.sleep(1)
    assert not second.leads
    assert second.story == []
    await third.stop()
    await until(lambda: second.leads, "it has lined up again")
    await second.stop()


@virtual
async def test_one_whose_key_was_made_anew_does_not_lead() -> None:
    shared = MemoryStore(clock=clock())
    await shared.put(f"{FOLDER}1", b"the leader")
    turn = Turn(
        shared, await shared.grant(1000), FOLDER, f"{FOLDER}2", value=b"mine", backoff=Backoff(random.Random(1))
    )
    wait = asyncio.create_task(turn.wait())
    await asyncio.sleep(1)
    await shared.delete(turn.key)
    await shared.put(turn.key, b"forged")
    await shared.delete(f"{FOLDER}1")
    with pytest.raises(PlaceLost):
        await wait
    assert turn.fence is None


@virtual
async def test_a_leader_whose_lease_was_lost_is_told_at_once() -> None:
    shared = MemoryStore(clock=clock())
    candidate = Candidate(shared, "g0")
    await until(lambda: candidate.leads, "it leads")
    candidate.store.loses = lambda event: True  # its watch does not tell
    before_s = clock().monotonic_s()
    await shared.revoke(await candidate.session.ready())
    await until(lambda: candidate.story[-1] == "lost", "it is told")
    assert clock().monotonic_s() - before_s < TTL_S / 3 + 1
    await candidate.stop()


@virtual
async def test_a_leader_lives_through_a_short_silence() -> None:
    shared = MemoryStore(clock=clock())
    first, second, third = await three(shared)
    first.store.cut()
    await asyncio.sleep(5)
    first.store.mend()
    await asyncio.sleep(20)
    assert first.leads
    assert len(first.story) == 1
    for candidate in (third, second, first):
        await candidate.stop()


@virtual
async def test_proclaiming_and_observing() -> None:
    shared = MemoryStore(clock=clock())
    first, second, third = await three(shared)
    seen: list[bytes | None] = []

    async def observe() -> None:
        async with contextlib.aclosing(third.election.observe()) as leaders:
            async for leader in leaders:
                seen.append(leader.value if leader else None)  # noqa: PERF401 -- as they come

    observer = asyncio.create_task(observe())
    await until(lambda: seen == [b"g0"], "the leader")
    await first.election.proclaim(b"g0 has news")
    await until(lambda: seen[-1] == b"g0 has news", "the news")
    third.store.drop_watches()
    await asyncio.sleep(15)
    assert len(seen) == 2
    with pytest.raises(FenceLost):
        await second.election.proclaim(b"me too")
    await first.election.resign()
    await until(lambda: seen[-1] == b"g1", "the next leader")
    await second.stop()
    await until(lambda: seen[-1] == b"g2", "the last leader")
    await third.stop()
    await until(lambda: seen[-1] == b"g0 has news", "the first one, in line again")
    await first.stop()
    await until(lambda: seen[-1] is None, "nobody")
    observer.cancel()


@virtual
async def test_resigning_ends_acting_before_the_next_one_begins() -> None:
    shared = MemoryStore(clock=clock())
    first, second, third = await three(shared)
    await first.election.resign()
    assert not first.leads
    assert first.story[-1] == "lost"
    await until(lambda: second.leads, "the second leads")
    await first.election.resign()  # it has nothing to resign from
    await until(lambda: first.puts() == 2, "it has lined up again")
    await second.election.resign()
    await until(lambda: third.leads, "the third leads")
    await third.election.resign()
    await until(lambda: first.leads, "the first one again")
    for candidate in (first, second, third):
        await candidate.stop()


@virtual
async def test_an_answer_that_got_lost_does_not_block_the_line() -> None:
    shared = MemoryStore(clock=clock())
    candidate = Candidate(shared, "g0")
    candidate.store.late = True
    await asyncio.sleep(3)
    assert not candidate.leads
    candidate.store.late = False
    await until(lambda: candidate.leads, "it finds its own key", 15)
    assert len((await shared.list(FOLDER)).entries) == 1
    await candidate.stop()


@virtual
async def test_a_callback_that_fails_leaves_nobody_leading() -> None:
    shared = MemoryStore(clock=clock())
    store = FlakyStore(shared)
    session = Session(store, TTL_S, clock=clock(), dice=random.Random(1))
    session.start()
    election = Election(store, session, FOLDER, dice=random.Random(1))
    lost: list[bool] = []

    def fails(leadership: Leadership) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await election.run(fails, lambda: lost.append(True))
    assert lost == [True]
    assert election.leadership is None
    assert (await shared.list(FOLDER)).entries == ()
    await session.close()


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["cut", "mend", "drop", "late", "stall", "delete", "resign", "sleep", "sleep"]),
        st.integers(0, 2),
    ),
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_never_do_two_act_and_in_the_end_one_does(events: list[tuple[str, int]]) -> None:
    @virtual
    async def check() -> None:
        shared = MemoryStore(clock=clock())
        candidates = [Candidate(shared, f"g{number}", number) for number in range(3)]
        tokens: list[int] = []

        async def watch() -> None:
            while True:
                leading = [candidate for candidate in candidates if candidate.leads]
                assert len(leading) <= 1
                tokens.extend(
                    candidate.election.leadership.token for candidate in leading if candidate.election.leadership
                )
                await asyncio.sleep(0.05)

        witness = asyncio.create_task(watch())
        for event, number in events:
            await _happen(event, candidates[number], shared)
        for candidate in candidates:
            candidate.store.mend()
            candidate.store.late = False
        await until(lambda: any(candidate.leads for candidate in candidates), "somebody leads", 60)
        if witness.done():
            witness.result()
        witness.cancel()
        assert tokens == sorted(tokens)
        for candidate in candidates:
            await candidate.stop()
        assert (await shared.list("")).entries == ()

    check()


async def _happen(event: str, candidate: Candidate, shared: MemoryStore) -> None:
    match event:
        case "cut":
            candidate.store.cut()
        case "mend":
            candidate.store.mend()
        case "drop" if candidate.store.fault is None:
            candidate.store.drop_watches()
        case "late":
            candidate.store.late = not candidate.store.late
        case "stall":
            clock().stall(4)
        case "delete":
            leadership = candidate.election.leadership
            if leadership is not None and not leadership.valid():
                await shared.delete(leadership.fence.key)
        case "resign":
            with contextlib.suppress(StoreUnavailable):
                await candidate.election.resign()
    await asyncio.sleep(1.7)


@virtual
async def test_who_stepped_down_and_ends_leaves_no_key_behind() -> None:
    """The session lives on: a place that nobody stands at any more would block all others."""
    shared = MemoryStore(clock=clock())
    one = Candidate(shared, "g1")
    await until(lambda: one.leads, "it leads")
    one.store.cut()
    shared_keep_alive = shared.keep_alive
    lease = one.session.lease
    assert lease is not None
    while one.leads:
        await shared_keep_alive(lease)  # the store extends leases when it changes its leader
        await asyncio.sleep(0.5)
    one._task.cancel()
    one.store.mend()
    await asyncio.wait([one._task])
    await until(one.session.valid, "the session lives on")
    two = Candidate(shared, "g2", 2)
    await until(lambda: two.leads, "another one leads", 3 * TTL_S)
    await two.stop()
    await one.stop()
