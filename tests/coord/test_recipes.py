"""The recipes in real time, on every store there is."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest

from sidecar.clock import SystemClock
from sidecar.coord.election import Election, Leadership
from sidecar.coord.etcd import EtcdStore
from sidecar.coord.lock import Lock, LockBusy
from sidecar.coord.memory import MemoryStore
from sidecar.coord.mirror import Mirror, MirrorState
from sidecar.coord.session import Session
from sidecar.coord.store import FenceLost, Store
from tests.coord.cluster import EtcdCluster
from tests.coord.contract import Compact
from tests.coord.flaky import FlakyStore
from tests.coord.waiting import until

TTL_S = 2.0


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return f"/{request.node.name}/"


def session_of(store: Store, seed: int = 1) -> Session:
    return Session(store, TTL_S, clock=SystemClock(), dice=random.Random(seed))


async def holds(store: Store, prefix: str) -> dict[str, bytes]:
    return {entry.key.removeprefix(prefix): entry.value for entry in (await store.list(prefix)).entries}


class RecipeContract:
    @pytest.mark.parametrize("seed", range(3))
    async def test_a_mirror_ends_as_the_store(self, store: Store, prefix: str, compact: Compact, seed: int) -> None:
        dice = random.Random(seed)
        flaky = FlakyStore(store)
        mirror = Mirror(flaky, prefix, clock=SystemClock(), dice=dice)
        mirror.start()
        for number in range(200):
            key = f"{prefix}{dice.randrange(10)}"
            if dice.random() < 0.3:
                await store.delete(key)
            else:
                await store.put(key, b"%d" % number)
            await asyncio.sleep(0)
            if number % 23 == 0:
                flaky.cut() if flaky.fault is None else flaky.mend()
            if number in {100, 150}:
                await compact(store)
        flaky.mend()
        listing = await store.list(prefix)
        await until(lambda: mirror.state is MirrorState.WATCHING, "a watch")
        await until(lambda: tuple(map(mirror.entries.get, sorted(mirror.entries))) == listing.entries, "the content")
        assert mirror.resync_diff == 0
        await mirror.stop()

    async def test_a_session_survives_its_lease(self, store: Store, prefix: str) -> None:
        session = session_of(store)
        session.start()
        await session.ready()
        assert await session.put(prefix + "a", b"1")
        await session.put(prefix + "b", b"1")
        await session.remove(prefix + "b")
        await store.revoke(await session.ready())
        await until(lambda: session.losses == 1, "the loss")
        await session.ready()
        assert await session.put(prefix + "a", b"1")
        assert await holds(store, prefix) == {"a": b"1"}
        await session.close()
        assert await holds(store, prefix) == {}

    async def test_a_session_that_is_cut_off_is_forgotten_and_returns(self, store: Store, prefix: str) -> None:
        flaky = FlakyStore(store)
        session = session_of(flaky)
        session.start()
        await session.ready()
        await session.put(prefix + "a", b"1")
        after = (await store.list(prefix)).revision
        flaky.cut()
        async with asyncio.timeout(30), store.watch(prefix, after) as batches:
            while not (await anext(batches)).events:
                pass
        assert not session.valid()
        flaky.mend()
        async with asyncio.timeout(30):
            await session.ready()
        assert await session.put(prefix + "a", b"1")
        assert await holds(store, prefix) == {"a": b"1"}
        assert session.losses == 1
        await session.close()

    async def test_leadership_goes_from_one_to_the_next(self, store: Store, prefix: str) -> None:
        candidates = [_Candidate(store, prefix, number) for number in range(3)]
        async with contextlib.AsyncExitStack() as stack:
            for candidate in candidates:
                stack.push_async_callback(candidate.stop)
            former = -1
            for _ in range(2):
                await until(lambda: sum(candidate.leads for candidate in candidates) == 1, "somebody leads")
                (leader,) = (candidate for candidate in candidates if candidate.leads)
                leadership = leader.election.leadership
                assert leadership is not None
                assert leadership.token > former
                former = leadership.token
                await store.put(prefix + "target", leader.name, fence=leadership.fence)
                told = await candidates[0].election.leader()
                assert told is not None
                assert told.value == leader.name
                leader.store.cut()
                await until(lambda: not leader.leads, "it stops")  # noqa: B023 -- waited for here
                await until(lambda: any(candidate.leads for candidate in candidates), "the next one")
                with pytest.raises(FenceLost):
                    await store.put(prefix + "target", b"of yesterday", fence=leadership.fence)
                leader.store.mend()

    async def test_a_lock_excludes(self, store: Store, prefix: str) -> None:
        inside, tokens = 0, []
        sessions = [session_of(store, seed) for seed in range(3)]

        async def work(session: Session, name: str) -> None:
            nonlocal inside
            lock = Lock(store, session, prefix + "lock/", holder=name, dice=random.Random(name))
            for _ in range(3):
                async with lock.held(timeout_s=30) as fence:
                    inside += 1
                    assert inside == 1
                    tokens.append(fence.token)
                    await store.put(prefix + "k", b"", fence=fence)
                    inside -= 1

        for session in sessions:
            session.start()
        await asyncio.gather(*(work(session, f"h{number}") for number, session in enumerate(sessions * 2)))
        assert tokens == sorted(set(tokens))
        assert await holds(store, prefix + "lock/") == {}
        first, second = (
            Lock(store, session, prefix + "lock/", holder=name, dice=random.Random(name))
            for session, name in zip(sessions, ("anna", "ben"), strict=False)
        )
        async with first.held(timeout_s=30):
            with pytest.raises(LockBusy, match="anna"):
                async with second.held(timeout_s=1):
                    pytest.fail("nobody may get here")
        for session in sessions:
            await session.close()


class _Candidate:
    def __init__(self, store: Store, prefix: str, number: int) -> None:
        self.name = b"g%d" % number
        self.store = FlakyStore(store)
        self.session = session_of(self.store, number)
        dice = random.Random(number)
        self.election = Election(self.store, self.session, prefix + "election/", self.name, dice=dice)
        self.session.start()
        self._task = asyncio.create_task(self.election.run(_gained, _lost))

    @property
    def leads(self) -> bool:
        leadership = self.election.leadership
        return leadership is not None and leadership.valid()

    async def stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self.session.close()


def _gained(leadership: Leadership) -> None:
    assert leadership.valid()


def _lost() -> None:
    pass


class TestMemory(RecipeContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        store = MemoryStore()
        yield store
        await store.close()

    @pytest.fixture
    def compact(self) -> Compact:
        async def compact(store: Store) -> None:
            assert isinstance(store, MemoryStore)
            store.compact()

        return compact


class TestEtcd(RecipeContract):
    @pytest.fixture
    async def store(self, etcd: EtcdCluster) -> AsyncIterator[Store]:
        store = EtcdStore(etcd.config())
        yield store
        await store.close()

    @pytest.fixture
    def compact(self, etcd: EtcdCluster) -> Compact:
        async def compact(store: Store) -> None:
            etcd.compact((await store.list("/compact/")).revision)

        return compact
