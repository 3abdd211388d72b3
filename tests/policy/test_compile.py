"""Policies are pure functions of their values; what was compiled before saves work and changes nothing."""

from __future__ import annotations

import pytest

from sidecar.config.schema import RoutingConfig
from sidecar.model import Ownership, Priority, RoutingStrategy
from sidecar.policy.compile import fills_nothing
from sidecar.policy.rules import Fallback
from sidecar.routing.area import Area
from sidecar.routing.view import View
from tests.policy.policies import elsewhere, members, policy, rule, same, slots_of


@pytest.mark.parametrize("strategy", RoutingStrategy)
def test_it_is_pure(strategy: RoutingStrategy) -> None:
    assert same(policy(members(5), strategy), policy(members(5), strategy))


@pytest.mark.parametrize("before", [RoutingStrategy.CONSISTENT_HASH, RoutingStrategy.ROUND_ROBIN])
def test_a_previous_policy_changes_nothing(before: RoutingStrategy) -> None:
    previous = policy(members(30), before, others=[elsewhere("there", 4)])
    others = [elsewhere("new", 3), elsewhere("there", 9, first=2)]
    made = policy(members(30, first=2), others=others, previous=previous)
    assert same(made, policy(members(30, first=2), others=others))


@pytest.mark.parametrize("strategy", RoutingStrategy)
def test_what_has_not_changed_is_the_same_object(strategy: RoutingStrategy) -> None:
    former = policy(members(5), strategy, others=[elsewhere("a", 4), elsewhere("b", 3)])
    later = policy(members(5), strategy, others=[elsewhere("b", 3), elsewhere("a", 5)], previous=former, generation=2)
    assert later.areas[0] is former.areas[0]
    assert later.areas[1] is former.areas[2]
    assert later.areas[2] is not former.areas[1]


def test_another_epoch_or_strategy_keeps_the_table() -> None:
    former = policy(members(5))
    assert policy(members(5), epoch=2, previous=former).own.routes is former.own.routes
    assert policy(members(5), RoutingStrategy.INTELLIGENT, previous=former).own.routes is former.own.routes
    assert policy(members(5), epoch=2, previous=former).numbering is former.numbering
    assert policy(members(5), epoch=2, down=frozenset({"c1"}), previous=former).own.routes is not former.own.routes


def test_it_is_known_before_whether_tables_have_to_be_filled() -> None:
    former = policy(members(5), others=[elsewhere("there", 2, first=9)])
    areas, routing = [area.area for area in former.areas], RoutingConfig()
    assert fills_nothing(areas, routing, former)
    assert fills_nothing(areas[:1], routing, former)
    assert not fills_nothing(areas, routing, None)
    assert not fills_nothing(areas, RoutingConfig(strategy=RoutingStrategy.ROUND_ROBIN), former)
    assert not fills_nothing([Area("here", View(1, members(6))), areas[1]], routing, former)


def test_a_notice_is_given_only_where_traces_have_owners() -> None:
    assert policy(members(2), effective_in_s=5).effective_in_s == 5
    spread = policy(members(2), RoutingStrategy.INTELLIGENT, ownership=Ownership.NONE, effective_in_s=5)
    assert spread.effective_in_s == 0


def test_its_routing_is_that_of_its_tables() -> None:
    made = policy(members(7))
    assert made.routing().owners_of(1234) == slots_of(made).owners_of(1234)


def test_rules_lead_to_regions_where_somebody_is_healthy() -> None:
    others = [
        elsewhere("good", 2, first=9),
        elsewhere("empty", 0),
        elsewhere("down", 2, first=20, down=frozenset({"c20", "c21"})),
    ]
    rules = [
        rule("*", "good"),
        rule("pay-*", "down", Priority.HIGH),
        rule("stay", "here"),
        rule("lost", "nowhere"),
        rule("void", "empty"),
    ]
    made = policy(members(3), others=others, rules=rules)
    assert made.areas_of(["anything", "pay-card", "stay", "lost", "void"]) == [1, 0, 0, 0, 0]
    assert made.fallbacks == (Fallback("pay-*", "down"), Fallback("lost", "nowhere"), Fallback("void", "empty"))
    back = policy(members(3), others=[others[0], others[1], elsewhere("down", 2, first=20)], rules=rules, previous=made)
    assert back.areas_of(["pay-card"]) == [3]
    assert back.fallbacks == (Fallback("lost", "nowhere"), Fallback("void", "empty"))


def test_an_own_region_without_anybody_is_no_fallback() -> None:
    """There is nowhere else: its items are turned away, as without rules."""
    made = policy((), others=[elsewhere("there", 2)], rules=[rule("a", "there"), rule("b", "here")])
    assert made.areas_of(["a", "b", "c"]) == [1, 0, 0]
    assert made.fallbacks == ()
