"""Gateways that go by the same views send every trace to the same owner; who leaves takes only its own share along."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config.fleet import RoutingRule
from sidecar.model import Endpoint, Priority
from sidecar.policy.policy import Policy
from sidecar.ports import Member
from sidecar.routing.area import Area
from sidecar.routing.slots import NONE, SLOTS
from sidecar.routing.view import View
from tests.policy.policies import policy, rule

REGIONS = ("here", "there", "far")
RULES = (rule("critical-*", "there", Priority.HIGH), rule("*-batch", "far"), rule("critical-batch", "far"))
SERVICES = ("shop", "critical-pay", "night-batch", "critical-batch")
SOME_SLOTS = range(0, SLOTS, 997)

MEMBERS = st.builds(
    lambda port, weight: Member(f"c{port}", Endpoint("host.example", port), weight),
    st.integers(1, 12),
    st.sampled_from([0.5, 1.0, 1.0, 3.0]),
)
LISTS = st.lists(MEMBERS, unique_by=lambda member: member.name, max_size=6)


@st.composite
def views(draw: st.DrawFn) -> list[View]:
    """One for each region, some members down."""
    made = []
    for _ in REGIONS:
        listed = draw(LISTS)
        down = draw(st.sets(st.sampled_from([member.name for member in listed]))) if listed else set()
        made.append(View(draw(st.integers(1, 9)), tuple(listed), frozenset(down)))
    return made


def gateway(seen: list[View], rules: Sequence[RoutingRule] = RULES, previous: Policy | None = None) -> Policy:
    areas = [Area(region, view) for region, view in zip(REGIONS, seen, strict=True)]
    own = areas[0].view
    return policy(own.members, epoch=own.epoch, down=own.down, others=areas[1:], rules=rules, previous=previous)


def owner(made: Policy, service: str, slot: int) -> list[Endpoint]:
    """Addresses of the owners of a slot as this service has them, the best first."""
    [area] = made.areas_of([service])
    numbers = made.areas[area].routes.table.owners_of(slot)
    return [made.members[made.numbering.places[area][number]].address for number in numbers if number != NONE]


@settings(max_examples=100, deadline=None)
@given(views(), views(), st.randoms(use_true_random=False))
def test_all_gateways_agree(seen: list[View], before: list[View], dice: random.Random) -> None:
    """Whatever each had before, and in whatever order it heard of members and rules."""
    shuffled = [View(view.epoch, tuple(dice.sample(view.members, len(view.members))), view.down) for view in seen]
    one = gateway(seen)
    other = gateway(shuffled, tuple(dice.sample(RULES, len(RULES))), previous=gateway(before))
    for service in SERVICES:
        for slot in SOME_SLOTS:
            assert owner(one, service, slot) == owner(other, service, slot)


@settings(max_examples=200, deadline=None)
@given(views())
def test_nobody_sends_to_who_is_down_and_nobody_leaves_its_region_for_nothing(seen: list[View]) -> None:
    made = gateway(seen)
    for service in SERVICES:
        [number] = made.areas_of([service])
        view = made.areas[number].view
        down = {member.address for member in view.members if member.name in view.down}
        assert not any(down & set(owner(made, service, slot)) for slot in SOME_SLOTS)
        assert number == 0 or made.areas[number].area.healthy
    healthy = {area.region for area in made.areas if area.area.healthy}
    assert {(one.pattern, one.region) for one in made.fallbacks} == {
        (one.service, one.target_region) for one in RULES if one.target_region not in healthy
    }


@settings(max_examples=100, deadline=None)
@given(views(), st.data())
def test_who_goes_moves_its_own_share_and_nothing_else(seen: list[View], data: st.DataObject) -> None:
    """By leaving, or by being passed over: to the next owner, in its own region; the others keep what they have."""
    places = [(number, one) for number, view in enumerate(seen) for one in view.members if one.name not in view.down]
    if not places:
        return
    number, gone = data.draw(st.sampled_from(places))
    view = seen[number]
    stayed = tuple(member for member in view.members if member is not gone)
    left = [*seen[:number], View(view.epoch + 1, stayed, view.down), *seen[number + 1 :]]
    passed_over = [*seen[:number], View(view.epoch + 1, view.members, view.down | {gone.name}), *seen[number + 1 :]]
    before, after, down = gateway(seen), gateway(left), gateway(passed_over)
    for service in SERVICES:
        [area] = before.areas_of([service])
        emptied = not after.areas[area].area.healthy
        if emptied and area == number:  # then the rules lead elsewhere, or nobody is left
            continue
        for slot in SOME_SLOTS:
            was, now = owner(before, service, slot), owner(after, service, slot)
            assert now == owner(down, service, slot)
            if area == number and gone.address in was:
                was.remove(gone.address)
                assert now[: len(was)] == was
            else:
                assert now == was
