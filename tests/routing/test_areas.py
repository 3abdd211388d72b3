"""Scenario: services that go to several regions. Guarantees: every item goes where the slow rules below say."""

from __future__ import annotations

import random
import time
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from sidecar._native import route
from sidecar._native.route import LEAST, NONE, SEQUENCE, Routing, assign, slot_of
from sidecar._native.scan import Tick
from tests.routing.tables import Table, members
from tests.routing.worker import Worker, of_services, owners_by_doc, trace_ids

OWNERS = 8
PLACES: Sequence[Sequence[int]] = ([0, 1, 2], [5, 2, 6, 7], [3], [])
"""By area; owner 2 is in two of them, and owner 4 in none."""
SERVICES = ("own", "east", "west", "void", "other")
AREA_OF = {"own": 0, "east": 1, "west": 2, "void": 3}
CHANGE_UNIX_NS = 1_700_000_000_000_000_000


@cache
def tables() -> list[Table]:
    """By area, of its own numbers."""
    return [Table([members(OWNERS)[place] for place in places]) for places in PLACES]


def places() -> list[array[int]]:
    return [array("H", some) for some in PLACES]


def owning() -> Routing:
    return Routing([table.native() for table in tables()], places=places(), owners=OWNERS)


def spreading(mode: int, sequences: Sequence[Sequence[int]]) -> Routing:
    made = [
        route.Table(mode, len(some), sequence=array("H", turns)) for some, turns in zip(PLACES, sequences, strict=True)
    ]
    return Routing(made, places=places(), owners=OWNERS)


def scanned(worker: Worker, routing: Routing, bodies: Sequence[bytes], areas: Mapping[str, int] = AREA_OF) -> Tick:
    """A tick, its services sent to their areas."""
    tick = worker.tick(bodies)
    for resource in tick.resources():
        name = tick.service(resource.service).decode()
        routing.set_area(resource.service, areas.get(name, 0))
    return tick


def assigned(worker: Worker, routing: Routing, bodies: Sequence[bytes]) -> list[list[int]]:
    tick = scanned(worker, routing, bodies)
    assign(tick, routing)
    return owners_by_doc(tick)


class Slow:
    """The rules, item by item."""

    def __init__(self, up: set[int]) -> None:
        self.up = up
        self.detoured = self.fell_back = self.split = 0
        self.known: dict[int, tuple[bytes, int]] = {}

    def serving(self, area: int) -> int:
        alive = [any(place in self.up for place in some) for some in PLACES]
        return area if alive[area] or not alive[0] else 0

    def owner(self, service: str, trace_id: bytes) -> int:
        named = AREA_OF.get(service, 0)
        area = self.serving(named)
        three = [owner for owner in tables()[area].rows([slot_of(trace_id)])[0] if owner != NONE]
        owners = [PLACES[area][owner] for owner in three]
        chosen = next((owner for owner in owners if owner in self.up), owners[0] if owners else NONE)
        self.fell_back += area != named
        self.detoured += bool(owners) and chosen != owners[0]
        return chosen


IDS = trace_ids(random.Random(5), 12)
SHARES = st.lists(st.tuples(st.sampled_from(SERVICES), st.lists(st.sampled_from(IDS), max_size=6)), max_size=6)


@settings(max_examples=200, deadline=None)
@given(st.lists(SHARES, max_size=4), st.sets(st.integers(0, OWNERS - 1)))
def test_every_service_goes_to_its_area(requests: list[list[tuple[str, list[bytes]]]], up: set[int]) -> None:
    worker, routing, slow = Worker(OWNERS, up), owning(), Slow(up)
    owners = assigned(worker, routing, [of_services(shares) for shares in requests])
    expected = [[slow.owner(service, i) for service, ids in shares for i in ids] for shares in requests]
    assert owners == expected
    assert (routing.detoured, routing.fell_back) == (slow.detoured, slow.fell_back)


@settings(max_examples=200, deadline=None)
@given(SHARES)
def test_what_rules_split_is_counted(shares: list[tuple[str, list[bytes]]]) -> None:
    """A dozen traces: all of them are remembered."""
    routing, seen, split = owning(), dict[bytes, int](), 0
    shares = [(service, ids) for service, ids in shares if service != "void"]  # nobody is there
    assigned(Worker(OWNERS), routing, [of_services(shares)])
    for service, ids in shares:
        for trace_id in ids:
            area = AREA_OF.get(service, 0)
            split += seen.get(trace_id, area) != area
            seen[trace_id] = area
    assert len({hash_place(trace_id) for trace_id in IDS}) == len(IDS)
    assert routing.split_by_rules == split


def hash_place(trace_id: bytes) -> int:
    [item] = Worker(0).tick([of_services([("a", [trace_id])])]).items()
    return int(item.hash) % 256


def test_one_area_knows_of_no_services() -> None:
    routing = tables()[0].routing()
    routing.set_area(7, 0)
    assert routing.area_of(7) == 0
    with pytest.raises(IndexError, match="area 1 of 1"):
        routing.set_area(7, 1)
    assert routing.split_by_rules == routing.fell_back == 0


def test_metrics_go_by_their_service_too() -> None:
    request = ExportMetricsServiceRequest()
    for service in ("own", "west"):
        resource = request.resource_metrics.add()
        resource.resource.attributes.add(key="service.name").value.string_value = service
        resource.scope_metrics.add().metrics.add(name="m").gauge.data_points.add(as_int=1)
    worker, routing = Worker(OWNERS), owning()
    tick = worker.tick([request.SerializeToString()], signal=2)
    for row in tick.resources():
        routing.set_area(row.service, AREA_OF[tick.service(row.service).decode()])
    assign(tick, routing)
    [[own, west]] = owners_by_doc(tick)
    assert own in PLACES[0]
    assert west == 3


# ---- spreading


@pytest.mark.parametrize("mode", [SEQUENCE, LEAST])
def test_each_areas_share_of_a_request_is_whole(mode: int) -> None:
    routing, worker = spreading(mode, [[0, 1, 2], [0, 1, 2, 3], [0], []]), Worker(OWNERS)
    ids = trace_ids(random.Random(1), 40)
    shares = [("own", ids[:3]), ("east", ids[3:5]), ("own", ids[5:9]), ("west", ids[9:11]), ("east", ids[:4])]
    counted: dict[str, Counter[int]] = {service: Counter() for service in SERVICES}
    for _ in range(24):
        [owners] = assigned(worker, routing, [of_services(shares)])
        taken: dict[str, set[int]] = {}
        for service, some in shares:
            taken.setdefault(service, set()).update(owners[: len(some)])
            owners = owners[len(some) :]
        for service, whole in taken.items():
            [owner] = whole
            counted[service][owner] += 1
    assert counted["own"] == {0: 8, 1: 8, 2: 8}
    if mode == SEQUENCE:
        assert counted["east"] == {5: 6, 2: 6, 6: 6, 7: 6}
    else:  # owner 2 has more on its hands: it is in both areas
        assert 0 < counted["east"][2] < min(counted["east"][owner] for owner in (5, 6, 7))
    assert counted["west"] == {3: 24}


def test_an_area_whose_members_are_down_is_not_waited_for() -> None:
    routing, worker = spreading(SEQUENCE, [[0, 1, 2], [0, 1, 2, 3], [0], []]), Worker(OWNERS, {0, 1})
    [owners] = assigned(worker, routing, [of_services([("west", IDS[:4]), ("east", IDS[:2])])])
    assert len(set(owners)) == 1
    assert set(owners) <= {0, 1}
    assert routing.fell_back == 6


# ---- from one policy to the next


class Change:
    """The areas of `owning`, and those where somebody has come to `east`; with workers before and in the window."""

    def __init__(self) -> None:
        self.before = Table([members(OWNERS)[place] for place in PLACES[1]])
        self.after = Table([*self.before.names, "newcomer:4317"])
        self.start_ns = time.monotonic_ns()
        self.announced = Worker(OWNERS + 1)
        self.effective_ns = time.monotonic_ns()
        self.window = Worker(OWNERS + 1)
        self.former, self.routing = owning(), self.next_routing()
        for area in (0, 2, 3):
            self.routing.go_on(self.former, area=area, old_area=area)
        self.moved = self.begin(self.routing, self.former)

    def next_routing(self) -> Routing:
        made = [table.native() for table in tables()]
        made[1] = self.after.native()
        later = places()
        later[1].append(OWNERS)
        return Routing(made, places=later, owners=OWNERS + 1)

    def begin(self, routing: Routing, former: Routing) -> int:
        return routing.begin_transition(
            former,
            array("H", range(4)),
            area=1,
            old_area=1,
            now_ns=self.start_ns,
            effective_ns=self.effective_ns,
            window_ns=1 << 62,
            effective_unix_ns=CHANGE_UNIX_NS,
            remember_limit=1000,
        )

    def owners(self, worker: Worker, routing: Routing, service: str, ids: Sequence[bytes]) -> list[int]:
        [owners] = assigned(worker, routing, [of_services([(service, ids)], CHANGE_UNIX_NS)])
        return owners

    def old(self, ids: Sequence[bytes]) -> list[int]:
        return [PLACES[1][self.before.primary[slot_of(trace_id)]] for trace_id in ids]

    def new(self, ids: Sequence[bytes]) -> list[int]:
        return [[*PLACES[1], OWNERS][self.after.primary[slot_of(trace_id)]] for trace_id in ids]


def test_a_change_in_one_area_is_nothing_to_the_others() -> None:
    change, known, fresh = Change(), trace_ids(random.Random(1), 400), trace_ids(random.Random(2), 400)
    assert change.moved > 5000
    assert change.owners(change.announced, change.routing, "east", known) == change.old(known)
    remembered = change.routing.remembered
    assert remembered == sum(a != b for a, b in zip(change.old(known), change.new(known), strict=True)) > 40
    own = [tables()[0].primary[slot_of(trace_id)] for trace_id in fresh]
    assert change.owners(change.announced, change.routing, "own", fresh) == own
    assert change.routing.remembered == remembered
    assert change.owners(change.window, change.routing, "east", known) == change.old(known)
    assert change.owners(change.window, change.routing, "east", fresh) == change.new(fresh)


def test_begun_spans_of_other_areas_tell_nothing() -> None:
    change, ids = Change(), trace_ids(random.Random(3), 300)
    for service, expected in (("own", 0), ("east", None)):
        before = change.routing.remembered
        assigned(change.window, change.routing, [of_services([(service, ids)], CHANGE_UNIX_NS - 1)])
        assert (change.routing.remembered == before) == (expected == 0)


def test_a_policy_in_between_does_not_end_a_change() -> None:
    change, known = Change(), trace_ids(random.Random(1), 400)
    change.owners(change.announced, change.routing, "east", known)
    later = change.next_routing()
    for area in range(4):
        later.go_on(change.routing, area=area, old_area=area)
    assert not change.routing.in_transition
    assert later.remembered > 40
    assert change.owners(change.window, later, "east", known) == change.old(known)


def test_whose_turn_it_is_goes_on() -> None:
    sequences = [[0, 1, 2], [0, 1, 2, 3], [0], []]
    former, worker = spreading(SEQUENCE, sequences), Worker(OWNERS)
    assigned(worker, former, [of_services([("east", IDS[:1])])] * 2)
    later = spreading(SEQUENCE, sequences)
    later.go_on(former, area=1, old_area=1)
    assert assigned(worker, later, [of_services([("east", IDS[:1])])]) == [[6]]


def test_what_does_not_fit_is_refused() -> None:
    routing, one = owning(), tables()[0].routing()
    with pytest.raises(ValueError, match="another table now"):
        routing.go_on(one, area=1)
    with pytest.raises(IndexError, match="area 4 of 4"):
        routing.go_on(one, area=4)
    with pytest.raises(ValueError, match="cannot follow itself"):
        routing.go_on(routing)
    with pytest.raises(ValueError, match="service 1001 of 1001"):
        routing.set_area(1001, 0)
    native = [table.native() for table in tables()]
    with pytest.raises(ValueError, match="needs to know the places"):
        Routing(native)
    with pytest.raises(ValueError, match="has 1 to 250 areas"):
        Routing([])
    with pytest.raises(ValueError, match=r"places\[2\] is owner 6, of 6"):
        Routing(native, places=places(), owners=6)
    with pytest.raises(ValueError, match="3 places for 4 owners"):
        Routing(native[:2], places=[places()[0], places()[0]], owners=OWNERS)
    with pytest.raises(ValueError, match="1025 owners"):
        Routing(native[:1], owners=1025)


def test_tables_say_the_same_or_not() -> None:
    table = tables()[1]
    again = Table(table.names).native()
    assert table.native().says_the_same(again)
    assert not table.native().says_the_same(Table(table.names[::-1]).native())
    turns = [route.Table(mode, 3, sequence=array("H", some)) for mode, some in ((SEQUENCE, [0, 1]), (LEAST, [0, 1]))]
    longer = route.Table(SEQUENCE, 3, sequence=array("H", [0, 1, 2]))
    assert [turns[0].says_the_same(one) for one in (*turns, longer, again)] == [True, False, False, False]
