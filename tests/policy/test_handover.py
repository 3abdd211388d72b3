from __future__ import annotations

import random
import time

from sidecar._native.route import assign, slot_of
from sidecar.model import RoutingStrategy
from sidecar.policy.handover import take_over
from sidecar.sampling.plan import SamplingPlan
from tests.policy.policies import elsewhere, members, policy, slots_of
from tests.routing.worker import Worker, of_services, owners_by_doc, trace_ids, traces

CHANGE_UNIX_NS = 1_700_000_000_000_000_000


def test_a_notice_is_given_before_owners_change() -> None:
    """A member is new, and the first of the list, so that all numbers are other ones."""
    former, later = policy(members(4, first=1)), policy(members(5), generation=2, effective_in_s=3600)
    ids = trace_ids(random.Random(1), 300)
    routing = take_over(later, former, former.routing(), now_ns=time.monotonic_ns(), unix_ns=CHANGE_UNIX_NS)
    [owners] = Worker(5).owners(routing, [traces(ids)])
    assert owners == [1 + slots_of(former).primary[slot_of(trace_id)] for trace_id in ids]
    assert routing.remembered > 20


def test_without_notice_traces_that_have_begun_stay() -> None:
    former, later = policy(members(4)), policy(members(5), generation=2)
    old, new = slots_of(former), slots_of(later)
    young, begun = trace_ids(random.Random(1), 200), trace_ids(random.Random(2), 200)
    routing = take_over(later, former, former.routing(), now_ns=time.monotonic_ns(), unix_ns=CHANGE_UNIX_NS)
    owners = Worker(5).owners(routing, [traces(young, CHANGE_UNIX_NS), traces(begun, CHANGE_UNIX_NS - 1)])
    assert owners == [[new.primary[slot_of(i)] for i in young], [old.primary[slot_of(i)] for i in begun]]


def test_without_notice_and_window_there_is_no_transition() -> None:
    former, later = policy(members(4)), policy(members(5), generation=2, affinity_window_s=0)
    assert not take_over(later, former, former.routing(), now_ns=0, unix_ns=0).in_transition


def test_where_nothing_moves_there_is_no_transition() -> None:
    former, later = policy(members(4)), policy(members(4), generation=2)
    assert not take_over(later, former, former.routing(), now_ns=0, unix_ns=0).in_transition


def test_to_spreading_at_once() -> None:
    former, later = policy(members(4)), policy(members(4), RoutingStrategy.ROUND_ROBIN, generation=2)
    routing = take_over(later, former, former.routing(), now_ns=0, unix_ns=0, turn=2)
    assert Worker(4).owners(routing, [traces([b"a" * 16])]) == [[2]]


def test_who_is_passed_over_gets_nothing_from_the_first_moment() -> None:
    """Neither the notice nor the window holds for a member that the view calls down."""
    former = policy(members(4))
    later = policy(members(4), generation=2, epoch=2, down=frozenset({"c2"}), effective_in_s=3600)
    routing = take_over(later, former, former.routing(), now_ns=time.monotonic_ns(), unix_ns=CHANGE_UNIX_NS)
    ids = trace_ids(random.Random(1), 300)
    [owners] = Worker(4).owners(routing, [traces(ids, CHANGE_UNIX_NS - 1)])
    assert owners == [slots_of(later).primary[slot_of(trace_id)] for trace_id in ids]
    assert 2 not in owners


def test_other_policies_in_between_neither_end_nor_delay_a_change() -> None:
    """Thresholds change every other second: what was announced must come nevertheless, and what is kept stay kept."""
    former, changed = policy(members(4)), policy(members(5), generation=2, affinity_window_s=3600)
    ids = trace_ids(random.Random(1), 300)
    routing = take_over(changed, former, former.routing(), now_ns=time.monotonic_ns(), unix_ns=CHANGE_UNIX_NS)
    begun = [slots_of(former).primary[slot_of(trace_id)] for trace_id in ids]
    assert Worker(5).owners(routing, [traces(ids, CHANGE_UNIX_NS - 1)]) == [begun]
    for generation in range(3, 8):
        later = policy(
            members(5),
            generation=generation,
            epoch=generation,
            sampling=SamplingPlan(rate=1 / generation),
            affinity_window_s=3600,
            previous=changed,
        )
        routing = take_over(later, changed, routing, now_ns=time.monotonic_ns(), unix_ns=CHANGE_UNIX_NS + 10**12)
        changed = later
    assert Worker(5).owners(routing, [traces(ids, CHANGE_UNIX_NS + 10**12)]) == [begun]


def test_one_member_for_another_is_a_change_though_the_tables_are_alike() -> None:
    former, later = policy(members(1)), policy(members(1, first=1), generation=2)
    routing = take_over(later, former, former.routing(), now_ns=0, unix_ns=0)
    assert not routing.in_transition
    assert Worker(1).owners(routing, [traces([b"a" * 16])]) == [[0]]


def test_areas_are_told_apart_by_their_regions() -> None:
    """Regions come, go and change places; only where owners change traces are kept back."""
    former = policy(members(3), others=[elsewhere("gone", 3, first=10), elsewhere("stays", 4, first=20)])
    later = policy(
        members(3),
        generation=2,
        others=[elsewhere("comes", 2, first=30), elsewhere("stays", 5, first=20)],
        effective_in_s=3600,
    )
    routing = take_over(later, former, former.routing(), now_ns=time.monotonic_ns(), unix_ns=CHANGE_UNIX_NS)
    worker, ids = Worker(len(later.members)), trace_ids(random.Random(1), 200)
    places = {"own": 0, "comes": 1, "stays": 2}
    tick = worker.tick([of_services([(service, ids) for service in places])])
    for row in tick.resources():
        routing.set_area(row.service, places[tick.service(row.service).decode()])
    assign(tick, routing)
    [owners] = owners_by_doc(tick)
    tables = (slots_of(later, 0), slots_of(later, 1), slots_of(former, 2))
    expected = [
        later.numbering.places[area][table.primary[slot_of(trace_id)]]
        for area, table in enumerate(tables)
        for trace_id in ids
    ]
    assert owners == expected
    assert routing.remembered > 10
