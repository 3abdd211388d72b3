"""Scenario: a member comes or goes while traces are under way. Guarantees: these stay where they are, for a while."""

from __future__ import annotations

import random
import time
from array import array
from collections.abc import Sequence
from itertools import pairwise

import pytest

from sidecar._native import route
from sidecar._native.route import NONE, SEQUENCE, Routing, slot_of
from tests.routing.tables import Table, members
from tests.routing.worker import Worker, trace_ids, traces

CHANGE_UNIX_NS = 1_700_000_000_000_000_000
BEFORE, AFTER = CHANGE_UNIX_NS - 1, CHANGE_UNIX_NS


class Change:
    """From `old` members to `new` ones, with a worker each for before the change, in its window, and after that."""

    def __init__(
        self, old: Sequence[str], new: Sequence[str], *, up: Sequence[int] | None = None, limit: int = 10_000
    ) -> None:
        self.old, self.new = Table(old), Table(new)
        self.places = array("H", (new.index(name) if name in new else NONE for name in old))
        self.workers, moments = [], [time.monotonic_ns()]
        for _ in range(3):
            self.workers.append(Worker(len(new), up))
            moments.append(time.monotonic_ns())
        assert all(earlier < later for earlier, later in pairwise(moments))
        self.routing = self.new.routing()
        self.moved = self.routing.begin_transition(
            self.old.routing(),
            self.places,
            now_ns=moments[0],
            effective_ns=moments[1],
            window_ns=moments[2] - moments[1],
            effective_unix_ns=CHANGE_UNIX_NS,
            remember_limit=limit,
        )

    def before(self, ids: Sequence[bytes]) -> list[int]:
        return self.workers[0].owners(self.routing, [traces(ids, BEFORE)])[0]

    def window(self, ids: Sequence[bytes], start_unix_ns: int = AFTER) -> list[int]:
        return self.workers[1].owners(self.routing, [traces(ids, start_unix_ns)])[0]

    def settled(self, ids: Sequence[bytes]) -> list[int]:
        return self.workers[2].owners(self.routing, [traces(ids, BEFORE)])[0]

    def former(self, ids: Sequence[bytes]) -> list[int]:
        """Owners by the old table, in the numbers of the new one."""
        return [self.places[self.old.primary[slot_of(trace_id)]] for trace_id in ids]

    def latter(self, ids: Sequence[bytes]) -> list[int]:
        return [self.new.primary[slot_of(trace_id)] for trace_id in ids]


def ids_of(n: int, seed: int = 1) -> list[bytes]:
    return trace_ids(random.Random(seed), n)


def growing(limit: int = 10_000) -> Change:
    """Four members, then a fifth; numbers change as well."""
    return Change(members(4), members(5)[::-1], limit=limit)


def test_known_traces_stay_new_ones_follow_the_new_table_then_all_do() -> None:
    change, known, fresh = growing(), ids_of(500), ids_of(500, seed=2)
    assert change.before(known) == change.former(known)
    moving = sum(a != b for a, b in zip(change.former(known), change.latter(known), strict=True))
    assert change.routing.remembered == moving > 50
    assert change.window(known) == change.former(known)
    assert change.window(fresh) == change.latter(fresh)
    assert change.routing.stayed == moving
    assert state(change.routing) == (True, moving)
    assert change.settled(known) == change.latter(known)
    assert state(change.routing) == (False, 0)


def test_the_number_of_slots_that_move_is_told() -> None:
    change = growing()
    moved = sum(change.places[old] != new for old, new in zip(change.old.primary, change.new.primary, strict=True))
    assert change.moved == moved


def test_a_span_that_started_before_the_change_keeps_its_trace_back() -> None:
    change, ids = growing(), ids_of(300)
    assert change.window(ids, BEFORE) == change.former(ids)
    assert change.window(ids, AFTER) == change.former(ids)
    assert change.window(fresh := ids_of(300, seed=2), AFTER) == change.latter(fresh)


def test_one_such_span_is_enough_wherever_in_the_tick() -> None:
    change, ids = growing(), ids_of(200)
    [young, old] = change.workers[1].owners(change.routing, [traces(ids, AFTER), traces(ids[::2], BEFORE)])
    assert old == change.former(ids[::2])
    assert young[::2] == change.former(ids[::2])
    assert young[1::2] == change.latter(ids[1::2])


def test_a_span_that_does_not_say_when_it_started_tells_nothing() -> None:
    change, ids = growing(), ids_of(100)
    assert change.window(ids, 0) == change.latter(ids)


@pytest.mark.parametrize(
    ("starts", "stays"), [([0], False), ([BEFORE], True), ([AFTER, BEFORE], True), ([BEFORE, AFTER], False)]
)
def test_the_last_of_several_start_times_counts_and_zero_is_none(starts: list[int], stays: bool) -> None:
    change, ids = growing(), ids_of(100)
    fields = b"".join(b"\x39" + start.to_bytes(8, "little") for start in starts)
    spans = b"".join(field(2, field(1, trace_id) + fields + field(5, b"GET /")) for trace_id in ids)
    [owners] = change.workers[1].owners(change.routing, [field(1, field(2, spans))])
    assert owners == (change.former(ids) if stays else change.latter(ids))


def test_who_has_left_keeps_nothing() -> None:
    change, ids = Change(members(5), members(4)), ids_of(500)
    expected = change.latter(ids)
    assert change.moved == 0
    assert change.before(ids) == change.window(ids, BEFORE) == change.settled(ids) == expected


def test_members_leave_and_come_at_once() -> None:
    change, ids = Change(members(5), members(6, first=2)), ids_of(800)
    former, latter = change.former(ids), change.latter(ids)
    expected = [new if old == NONE else old for old, new in zip(former, latter, strict=True)]
    assert NONE in former
    assert change.before(ids) == expected
    assert change.window(ids) == expected
    assert change.settled(ids) == latter


def test_a_former_owner_that_is_down_is_not_waited_for() -> None:
    change, ids = Change(members(4), members(5), up=[1, 2, 3, 4]), ids_of(500)
    change.before(ids)
    for trace_id, owner in zip(ids, change.window(ids), strict=True):
        three = change.new.rows([slot_of(trace_id)])[0]
        was = change.old.primary[slot_of(trace_id)]
        assert owner == (was if was != 0 else next(up for up in three if up != 0))


def test_the_memory_is_bounded() -> None:
    change, ids = growing(limit=20), ids_of(2000)
    change.before(ids)
    assert change.routing.remembered == 20
    assert change.routing.passed_over > 100
    window = change.window(ids)
    moved_back = sum(owner != new for owner, new in zip(window, change.latter(ids), strict=True))
    assert moved_back == change.routing.stayed == 20


def test_a_limit_of_nothing() -> None:
    change, ids = growing(limit=0), ids_of(300)
    assert change.before(ids) == change.former(ids)
    assert change.window(ids) == change.latter(ids)


def test_an_announced_change_that_is_overtaken() -> None:
    """The old table holds until the latest change acts, and what was remembered since the first still stays."""
    first, known = growing(), ids_of(500)
    first.before(known)
    latest = Table(members(6))
    routing, start = latest.routing(), time.monotonic_ns()
    worker = Worker(6)
    end = time.monotonic_ns()
    map_to_latest = array("H", (latest.names.index(name) for name in first.new.names))
    routing.begin_transition(
        first.routing,
        map_to_latest,
        now_ns=0,  # while the first change was yet to come
        effective_ns=start,
        window_ns=end - start,
        effective_unix_ns=CHANGE_UNIX_NS,
        remember_limit=1000,
    )
    both_moved = [
        trace_id
        for trace_id, old, middle in zip(known, first.former(known), first.latter(known), strict=True)
        if map_to_latest[old] != latest.primary[slot_of(trace_id)] and old != middle
    ]
    assert routing.remembered == len(both_moved) > 20
    expected = [map_to_latest[owner] for owner in first.former(both_moved)]
    assert worker.owners(routing, [traces(both_moved, AFTER)]) == [expected]


def test_nothing_moves_slowly_where_requests_are_spread() -> None:
    spreading = Routing([route.Table(SEQUENCE, 2, sequence=array("H", [0, 1]))])
    owning = Table(members(2)).routing()
    for old, new in ((spreading, owning), (owning, spreading)):
        assert begin(new, old, array("H", [0, 1])) == 0
        assert not new.in_transition


def test_what_does_not_fit_is_refused() -> None:
    old, new = Table(members(3)).routing(), Table(members(2)).routing()
    with pytest.raises(ValueError, match="has 2 owners, the former policy 3"):
        begin(new, old, array("H", [0, 1]))
    with pytest.raises(ValueError, match="follow itself"):
        begin(new, new, array("H", [0, 1]))
    assert begin(new, old, array("H", [0, 1, 2])) == 0  # 2 is nobody here: it has left


def field(number: int, content: bytes) -> bytes:
    """A field of the wire format that holds bytes, its length in three of them."""
    size = len(content)
    return bytes([number << 3 | 2, size & 127 | 128, size >> 7 & 127 | 128, size >> 14]) + content


def state(routing: Routing) -> tuple[bool, int]:
    return routing.in_transition, routing.remembered


def begin(new: Routing, old: Routing, owner_map: array[int]) -> int:
    return new.begin_transition(
        old, owner_map, now_ns=0, effective_ns=1, window_ns=1, effective_unix_ns=0, remember_limit=8
    )
