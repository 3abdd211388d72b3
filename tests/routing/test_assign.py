"""Scenario: ticks of requests, some owners down. Guarantees: every item goes where the slow rules below say."""

from __future__ import annotations

import gc
import random
from array import array
from collections import Counter

import pytest

from sidecar._native import route
from sidecar._native.route import LEAST, NONE, OWNING, SEQUENCE, Routing, assign, set_avoid, slot_of
from sidecar._native.route import Table as RouteTable
from tests.routing.tables import Table, hash_trace, members
from tests.routing.worker import LOGS, Worker, logs, owners_by_doc, trace_ids, traces


def spreading(mode: int, sequence: list[int], turn: int = 0) -> Routing:
    return Routing([RouteTable(mode, max(sequence, default=-1) + 1, sequence=array("H", sequence))], turn=turn)


def owner_by_rule(table: Table, hashed: int, up: set[int], avoid: int | None) -> int:
    three = table.rows([hashed >> 48])[0]
    return next((owner for owner in three if owner in up and owner != avoid), three[0])


@pytest.mark.parametrize("seed", range(20))
def test_owning(seed: int) -> None:
    rng = random.Random(seed)
    n = rng.choice([1, 2, 3, 5, 30])
    table, worker = Table(members(n)), Worker(n, [i for i in range(n) if rng.random() < 0.7])
    routing = table.routing()
    tick = worker.tick([traces(trace_ids(rng, rng.randrange(60), run=rng.choice([1, 8]))) for _ in range(12)])
    avoided = {request: rng.randrange(n) for request in range(12) if rng.random() < 0.3}
    for request, owner in avoided.items():
        set_avoid(tick, request, owner)
    assign(tick, routing)
    items, detours = tick.items(), 0
    for number, doc in enumerate(tick.docs()):
        for item in items[doc.item0 : doc.item0 + doc.items]:
            assert item.owner == owner_by_rule(table, item.hash, worker.up, avoided.get(number))
            primary = table.primary[item.hash >> 48]
            detours += item.owner != primary and primary not in worker.up
        assert not doc.whole
    assert routing.detoured == detours


def test_the_slot_is_that_of_the_trace_id() -> None:
    table, rng = Table(members(7)), random.Random(1)
    ids = trace_ids(rng, 200)
    [owners] = Worker(7).owners(table.routing(), [traces(ids)])
    assert [slot_of(trace_id) for trace_id in ids] == [hash_trace(trace_id) >> 48 for trace_id in ids]
    assert owners == [table.primary[slot_of(trace_id)] for trace_id in ids]
    with pytest.raises(ValueError, match="16 bytes, not 8"):
        slot_of(bytes(8))


def test_logs_without_a_trace_go_by_resource() -> None:
    hosts = [f"host-{i}" for i in range(40)]
    routing, worker = Table(members(5)).routing(), Worker(5)
    [together] = worker.owners(routing, [logs(hosts)], LOGS)
    assert [[owner] for owner in together] == Worker(5).owners(routing, [logs([host]) for host in hosts], LOGS)
    assert len(set(together)) == 5


def test_items_that_are_decided_stay_decided() -> None:
    table, rng = Table(members(4)), random.Random(2)
    good, bad = trace_ids(rng, 2)
    [owners] = Worker(4).owners(table.routing(), [traces([good, bad[:7], good, good])])
    home = table.primary[slot_of(good)]
    assert owners == [home, 0xFFFD, home, home]


def test_without_members_items_stay_without_an_owner() -> None:
    assert Worker(0).owners(Table([]).routing(), [traces([b"0123456789abcdef"])]) == [[NONE]]
    assert Worker(0).owners(spreading(SEQUENCE, []), [traces([b"0123456789abcdef"])]) == [[NONE]]
    assert Worker(0).owners(spreading(LEAST, []), [traces([b"0123456789abcdef"])]) == [[NONE]]


def test_a_policy_whose_backends_are_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="the policy has 3 owners, the worker 2"):
        Worker(2).owners(Table(members(3)).routing(), [traces([b"a" * 16])])


def whole_owners(worker: Worker, routing: Routing, n: int, avoid: int | None = None) -> list[int]:
    """The owners of n requests that come in one tick."""
    rng = random.Random(n)
    tick = worker.tick([traces(trace_ids(rng, 5)) for _ in range(n)])
    for doc in range(n if avoid is not None else 0):
        set_avoid(tick, doc, avoid or 0)
    assign(tick, routing)
    assert all(doc.whole for doc in tick.docs())
    owners = owners_by_doc(tick)
    assert all(len(set(doc)) == 1 for doc in owners)
    return [doc[0] for doc in owners]


def test_a_sequence_is_gone_through_again_and_again() -> None:
    routing = spreading(SEQUENCE, [0, 2, 0, 1], turn=5)
    assert whole_owners(Worker(3), routing, 3) == [2, 0, 1]
    assert whole_owners(Worker(3), routing, 3) == [0, 2, 0]


def test_who_is_down_is_passed_over_and_the_others_keep_their_proportion() -> None:
    counted = Counter(whole_owners(Worker(4, {0, 1, 3}), spreading(SEQUENCE, [2, 0, 1, 2, 3, 0, 2]), 400))
    assert counted == {0: 200, 1: 100, 3: 100}


def test_who_is_to_be_avoided_is_taken_only_if_alone() -> None:
    routing = spreading(SEQUENCE, [0, 1, 2])
    assert set(whole_owners(Worker(3), routing, 30, avoid=1)) == {0, 2}
    assert set(whole_owners(Worker(3, {1}), routing, 30, avoid=1)) == {1}


def test_where_all_are_down_requests_wait_in_turn() -> None:
    assert Counter(whole_owners(Worker(3, ()), spreading(SEQUENCE, [0, 1, 2]), 30)) == {0: 10, 1: 10, 2: 10}
    assert Counter(whole_owners(Worker(3, ()), spreading(LEAST, [0, 1, 2]), 30)) == {0: 10, 1: 10, 2: 10}


def test_a_request_without_items_takes_no_turn() -> None:
    routing, worker = spreading(SEQUENCE, [0, 1]), Worker(2)
    assert worker.owners(routing, [traces([]), traces([b"a" * 16]), b"", traces([b"b" * 16])]) == [[], [0], [], [1]]


@pytest.mark.parametrize("seed", range(8))
def test_the_least_loaded_is_taken(seed: int) -> None:
    rng = random.Random(seed)
    worker, candidates = Worker(6, {0, 1, 2, 4, 5}), [0, 1, 3, 4, 5]
    bodies = [traces(trace_ids(rng, rng.choice([1, 4, 40]))) for _ in range(100)]
    owners = worker.owners(spreading(LEAST, candidates), bodies)
    given: Counter[int] = Counter()
    for body, doc in zip(bodies, owners, strict=True):
        assert doc[0] in {0, 1, 4, 5}
        assert given[doc[0]] == min(given[owner] for owner in (0, 1, 4, 5))
        given[doc[0]] += len(body)


def test_ties_take_turns() -> None:
    worker, routing = Worker(3), spreading(LEAST, [0, 1, 2])
    assert [whole_owners(worker, routing, 1)[0] for _ in range(6)] == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("mode", "owners", "sequence", "words"),
    [
        (OWNING, 2, None, "owning needs"),
        (SEQUENCE, 2, None, "needs a sequence"),
        (SEQUENCE, 2, array("H", [0, 2]), r"sequence\[1\] is owner 2, of 2"),
        (LEAST, 1025, array("H"), "1025 owners"),
        (7, 2, None, "unknown mode"),
    ],
)
def test_tables_that_do_not_fit_are_refused(mode: int, owners: int, sequence: array[int] | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RouteTable(mode, owners, sequence=sequence)


def test_a_table_of_more_owners_is_refused() -> None:
    table = Table(members(3))
    with pytest.raises(ValueError, match="of 2"):
        RouteTable(OWNING, 2, primary=table.primary, after=table.after)


def test_tables_live_as_long_as_they_are_used() -> None:
    table = Table(members(3))
    expected, routing = [table.rows([slot])[0] for slot in range(0, route.NONE, 999)], table.routing()
    del table
    gc.collect()
    assert [routing.owners_of(slot) for slot in range(0, route.NONE, 999)] == expected
    with pytest.raises(ValueError, match="spreads"):
        spreading(SEQUENCE, [0]).owners_of(0)
