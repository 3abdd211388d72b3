import asyncio
from collections.abc import Mapping

from sidecar.coord.replica import Change
from sidecar.coord.store import KeyValue
from sidecar.coord.subscribers import Subscribers
from sidecar.coord.survivors import GRACE_S, Survivors
from tests.coord.virtual_time import clock, virtual


class Source:
    """A mirror that a test moves."""

    def __init__(self, count: int) -> None:
        self._entries = {f"m{number}": KeyValue(f"m{number}", b"", 1, 1) for number in range(count)}
        self._subscribers = Subscribers[[Change]]("the test")
        self.subscribe = self._subscribers.add

    @property
    def entries(self) -> Mapping[str, KeyValue]:
        return self._entries

    def vanish(self, *numbers: int, relisted: bool = False) -> None:
        gone = tuple(self._entries.pop(f"m{number}") for number in numbers)
        self._subscribers.tell(Change((), gone, relisted))

    def appear(self, *numbers: int, value: bytes = b"") -> None:
        put = tuple(KeyValue(f"m{number}", value, 2, 2) for number in numbers)
        self._entries.update((entry.key, entry) for entry in put)
        self._subscribers.tell(Change(put))


def survivors_of(source: Source) -> Survivors:
    return Survivors(source, clock=clock())


def numbers(survivors: Survivors) -> list[int]:
    return sorted(int(key[1:]) for key in survivors.members)


@virtual
async def test_one_that_leaves_has_left() -> None:
    source = Source(10)
    survivors = survivors_of(source)
    told: list[Mapping[str, KeyValue]] = []
    survivors.subscribe(lambda members: told.append(dict(members)))
    source.vanish(0)
    source.appear(11)
    assert numbers(survivors) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11]
    assert (len(told), survivors.storms) == (2, 0)
    assert told[-1] == survivors.members
    survivors.close()


@virtual
async def test_many_at_once_are_missed_and_come_back() -> None:
    source = Source(10)
    survivors = survivors_of(source)
    told: list[int] = []
    survivors.subscribe(lambda members: told.append(len(members)))
    source.vanish(0, 1, 2, 3)
    assert numbers(survivors) == list(range(10))
    assert survivors.missed == {"m0", "m1", "m2", "m3"}
    assert told == []
    await asyncio.sleep(GRACE_S / 2)
    source.appear(0, 1, 2, 3, value=b"back")
    await asyncio.sleep(GRACE_S)
    assert numbers(survivors) == list(range(10))
    assert survivors.members["m0"].value == b"back"
    assert survivors.storms == 1
    assert not survivors.missed
    survivors.close()


@virtual
async def test_those_who_stay_away_are_given_up() -> None:
    source = Source(10)
    survivors = survivors_of(source)
    told: list[int] = []
    survivors.subscribe(lambda members: told.append(len(members)))
    source.vanish(*range(8))
    await asyncio.sleep(GRACE_S - 1)
    assert len(survivors.members) == 10
    source.appear(3)
    await asyncio.sleep(2)
    assert numbers(survivors) == [3, 8, 9]
    assert told == [10, 3]
    survivors.close()


@virtual
async def test_a_storm_that_comes_one_by_one_takes_back_its_first_victims() -> None:
    source = Source(10)
    survivors = survivors_of(source)
    for number in range(3):
        source.vanish(number)
        await asyncio.sleep(1)
    assert numbers(survivors) == list(range(3, 10))
    source.vanish(3)
    assert numbers(survivors) == list(range(10))
    assert survivors.missed == {"m0", "m1", "m2", "m3"}
    source.vanish(4)
    assert len(survivors.missed) == 5
    assert survivors.storms == 1
    survivors.close()


@virtual
async def test_who_leaves_one_by_one_over_a_long_time_is_no_storm() -> None:
    source = Source(10)
    survivors = survivors_of(source)
    for number in range(9):
        source.vanish(number)
        await asyncio.sleep(20)
    assert numbers(survivors) == [9]
    assert survivors.storms == 0
    source.vanish(9)
    assert numbers(survivors) == [9]  # never nobody, all of a sudden
    await asyncio.sleep(GRACE_S + 1)
    assert numbers(survivors) == []
    survivors.close()


@virtual
async def test_one_of_two_or_three_may_leave() -> None:
    for count in (2, 3):
        source = Source(count)
        survivors = survivors_of(source)
        source.vanish(0)
        assert len(survivors.members) == count - 1
        survivors.close()


@virtual
async def test_after_a_relist_nobody_is_believed_to_have_gone() -> None:
    source = Source(100)
    survivors = survivors_of(source)
    source.vanish(0, relisted=True)
    assert len(survivors.members) == 100
    await asyncio.sleep(GRACE_S + 1)
    assert len(survivors.members) == 99
    survivors.close()


@virtual
async def test_closed_it_follows_no_longer() -> None:
    source = Source(2)
    survivors = survivors_of(source)
    source.vanish(0, 1)
    survivors.close()
    source.appear(5)
    await asyncio.sleep(GRACE_S + 1)
    assert len(survivors.members) == 2
