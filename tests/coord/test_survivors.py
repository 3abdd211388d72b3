import asyncio
from collections.abc import Mapping

from sidecar.coord.replica import Change
from sidecar.coord.session import FAREWELL
from sidecar.coord.store import KeyValue
from sidecar.coord.subscribers import Subscribers
from sidecar.coord.survivors import GRACE_S, Survivors
from tests.coord.virtual_time import clock, virtual


class Source:
    """A mirror that a test moves."""

    def __init__(self, count: int) -> None:
        self._entries = {f"m{number}": KeyValue(f"m{number}", b"here", 1, 1) for number in range(count)}
        self._subscribers = Subscribers[[Change]]("the test")
        self.subscribe = self._subscribers.add

    @property
    def entries(self) -> Mapping[str, KeyValue]:
        return self._entries

    def vanish(self, *numbers: int, relisted: bool = False) -> None:
        gone = tuple(self._entries.pop(f"m{number}") for number in numbers)
        self._subscribers.tell(Change((), gone, relisted))

    def leave(self, *numbers: int) -> None:
        """As who says good-bye, each on his own."""
        for number in numbers:
            self.appear(number, value=FAREWELL)
            self.vanish(number)

    def appear(self, *numbers: int, value: bytes = b"here") -> None:
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


@virtual
async def test_who_says_good_bye_has_left_however_many_do() -> None:
    source = Source(10)
    survivors = survivors_of(source)
    for number in range(1, 10):
        source.leave(number)
        assert numbers(survivors) == [0, *range(number + 1, 10)]
    assert (survivors.storms, survivors.missed) == (0, frozenset())
    survivors.close()


@virtual
async def test_a_farewell_is_no_part_of_a_storm() -> None:
    source = Source(10)
    survivors = survivors_of(source)
    source.leave(0, 1, 2, 3)
    source.vanish(4)
    assert numbers(survivors) == list(range(5, 10)), "one of six may go"
    source.vanish(5, 6)
    assert survivors.missed == {"m4", "m5", "m6"}
    source.appear(5, value=FAREWELL)
    assert numbers(survivors) == [4, 6, 7, 8, 9], "nobody waits for one who came back only to leave"
    survivors.close()


@virtual
async def test_who_vanishes_while_others_are_missed_is_missed_as_well() -> None:
    """Each for a grace of his own; once all are back the next one is a single one again."""
    source = Source(10)
    survivors = survivors_of(source)
    source.vanish(0, 1, 2, 3)
    await asyncio.sleep(GRACE_S / 2)
    source.vanish(4)
    assert 4 in numbers(survivors)
    source.appear(0, 1, 2, 3)
    await asyncio.sleep(GRACE_S - 1)
    assert 4 in numbers(survivors)
    await asyncio.sleep(2)
    assert 4 not in numbers(survivors)
    source.vanish(5)
    assert 5 not in numbers(survivors)
    assert survivors.storms == 1
    survivors.close()


@virtual
async def test_the_last_one_that_says_good_bye_stays_until_another_comes() -> None:
    source = Source(2)
    survivors = survivors_of(source)
    source.leave(0)
    source.leave(1)
    assert numbers(survivors) == [1]
    assert (survivors.members["m1"].value, survivors.storms) == (b"here", 0)
    source.appear(2)
    assert numbers(survivors) == [2]
    source.leave(2)
    await asyncio.sleep(GRACE_S + 1)
    assert numbers(survivors) == []
    source.appear(2)
    assert numbers(survivors) == [2]
    source.leave(2)
    source.appear(2)
    await asyncio.sleep(GRACE_S + 1)
    assert numbers(survivors) == [2]
    survivors.close()


@virtual
async def test_a_farewell_that_is_there_at_the_start_is_nobody() -> None:
    source = Source(3)
    source.appear(0, value=FAREWELL)
    survivors = survivors_of(source)
    assert numbers(survivors) == [1, 2]
    source.vanish(0)
    assert (numbers(survivors), survivors.storms) == ([1, 2], 0)
    survivors.close()
