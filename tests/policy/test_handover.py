from __future__ import annotations

import random
import time

from sidecar._native.route import slot_of
from sidecar.model import RoutingStrategy
from sidecar.policy.handover import take_over
from tests.policy.policies import members, policy
from tests.routing.worker import Worker, trace_ids, traces

CHANGE_UNIX_NS = 1_700_000_000_000_000_000


def test_a_notice_is_given_before_owners_change() -> None:
    """A member is new, and the first of the list, so that all numbers are other ones."""
    former, later = policy(members(4, first=1)), policy(members(5), generation=2, effective_in_s=3600)
    ids = trace_ids(random.Random(1), 300)
    routing = take_over(later, former, former.routing(), now_ns=time.monotonic_ns(), unix_ns=CHANGE_UNIX_NS)
    assert former.routes.slots is not None
    [owners] = Worker(5).owners(routing, [traces(ids)])
    assert owners == [1 + former.routes.slots.primary[slot_of(trace_id)] for trace_id in ids]
    assert routing.remembered > 20


def test_without_notice_traces_that_have_begun_stay() -> None:
    former, later = policy(members(4)), policy(members(5), generation=2)
    old, new = former.routes.slots, later.routes.slots
    assert old is not None
    assert new is not None
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
