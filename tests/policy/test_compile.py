import pytest

from sidecar.model import Ownership, RoutingStrategy
from tests.policy.policies import members, policy, same


@pytest.mark.parametrize("strategy", RoutingStrategy)
def test_it_is_pure(strategy: RoutingStrategy) -> None:
    assert same(policy(members(5), strategy), policy(members(5), strategy))


@pytest.mark.parametrize("before", [RoutingStrategy.CONSISTENT_HASH, RoutingStrategy.ROUND_ROBIN])
def test_a_previous_policy_changes_nothing(before: RoutingStrategy) -> None:
    previous = policy(members(30), before)
    assert same(policy(members(30, first=2), previous=previous), policy(members(30, first=2)))


def test_a_notice_is_given_only_where_traces_have_owners() -> None:
    assert policy(members(2), effective_in_s=5).effective_in_s == 5
    spread = policy(members(2), RoutingStrategy.INTELLIGENT, ownership=Ownership.NONE, effective_in_s=5)
    assert spread.effective_in_s == 0


def test_its_routing_is_that_of_its_tables() -> None:
    made = policy(members(7))
    assert made.routes.slots is not None
    assert made.routing().owners_of(1234) == made.routes.slots.owners_of(1234)
