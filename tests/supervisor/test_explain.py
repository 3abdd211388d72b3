"""Explanations are held against the tables and thresholds that the data plane reads."""

from __future__ import annotations

import os
import random
from functools import cache

import pytest

from sidecar._native.sample import probability_to_threshold
from sidecar.model import Ownership, RoutingStrategy, Signal
from sidecar.policy.policy import Policy
from sidecar.ports import Member
from sidecar.routing.view import key_of
from sidecar.sampling.plan import SamplingPlan
from sidecar.snapshot import Explanation, Question
from sidecar.supervisor.explain import explain
from tests.policy.policies import members, policy

FIVE = members(5)
ALL = frozenset(map(key_of, FIVE))
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def asked(
    trace_id: str | None = TRACE,
    *,
    signal: Signal = Signal.TRACES,
    policy: Policy | None = None,
    up: frozenset[int] = ALL,
) -> Explanation:
    return explain(Question(signal=signal, trace_id=trace_id, service="shop"), policy or made(), up)


@cache
def made(rate: float = 1.0, who: tuple[Member, ...] = FIVE) -> Policy:
    sampling = SamplingPlan(rate=rate, signals=(Signal.TRACES,))
    return policy(who, sampling=sampling, generation=9)


def owners(count: int = 3) -> list[Member]:
    """The owners of TRACE, as the table has them."""
    found = asked()
    names = [found.owner, *found.next_owners]
    return [next(member for member in FIVE if member.name == name) for name in names[:count]]


def without(*gone: Member) -> frozenset[int]:
    return ALL - {key_of(member) for member in gone}


# ---- owners


def test_before_there_is_a_policy() -> None:
    found = explain(Question(trace_id=TRACE), None, ALL)
    assert (found.generation, found.owner, found.kept) == (0, None, None)
    assert found.reasons == ("no policy is in force yet",)


def test_a_trace_has_an_owner_and_two_who_would_take_over() -> None:
    found = asked()
    assert found.generation == 9
    assert found.strategy == "consistent_hash"
    assert found.owner is not None
    assert len({found.owner, *found.next_owners}) == 3
    assert found.slot is not None
    assert f"slot {found.slot} of 65536 belongs to {found.owner} by weighted rendezvous hashing" in found.reasons


def test_owners_are_those_of_the_table() -> None:
    table, dice = made().routing(), random.Random(3)
    for _ in range(200):
        found = asked(dice.randbytes(16).hex())
        assert found.slot is not None
        named = tuple(FIVE[number].name for number in table.owners_of(found.slot))
        assert (found.owner, *found.next_owners) == named


def test_the_next_owner_stands_in_and_the_order_stays() -> None:
    first, second, third = owners()
    found = asked(up=without(first))
    assert (found.owner, found.next_owners) == (second.name, (first.name, third.name))
    assert f"{first.name} is not up, {second.name} stands in" in found.reasons
    found = asked(up=without(first, second))
    assert (found.owner, found.next_owners) == (third.name, (first.name, second.name))


@pytest.mark.parametrize("up", [frozenset(), without(*owners())])
def test_where_none_of_the_owners_is_up_the_first_one_is_waited_for(up: frozenset[int]) -> None:
    found = asked(up=up)
    assert found.owner == owners()[0].name
    assert any("none of the slot's owners is up" in reason for reason in found.reasons)


def test_members_without_weight_own_nothing() -> None:
    nobody = tuple(Member(member.name, member.address, 0.0) for member in FIVE)
    found = asked(policy=made(who=nobody))
    assert (found.owner, found.next_owners) == (None, ())
    assert found.slot is not None
    assert "no member has a weight above 0" in found.reasons


@pytest.mark.parametrize(
    ("strategy", "ownership"),
    [
        (RoutingStrategy.ROUND_ROBIN, None),
        (RoutingStrategy.WEIGHTED_ROUND_ROBIN, None),
        (RoutingStrategy.LEAST_CONNECTIONS, None),
        (RoutingStrategy.INTELLIGENT, Ownership.NONE),
    ],
)
def test_who_spreads_has_no_owners(strategy: RoutingStrategy, ownership: Ownership | None) -> None:
    found = asked(policy=policy(FIVE, strategy, ownership=ownership))
    assert (found.owner, found.next_owners, found.slot) == (None, (), None)
    assert f"{strategy} places each request anew: a trace has no owner" in found.reasons


@pytest.mark.parametrize("signal", [Signal.METRICS, Signal.PROFILES])
@pytest.mark.parametrize("trace_id", [TRACE, None])
def test_what_has_no_trace_ids_goes_by_its_resource(signal: Signal, trace_id: str | None) -> None:
    found = asked(trace_id, signal=signal)
    assert (found.owner, found.slot) == (None, None)
    assert "metrics and profiles go by their resource" in found.reasons


@pytest.mark.parametrize("signal", [Signal.TRACES, Signal.LOGS])
def test_a_service_alone_has_no_owner(signal: Signal) -> None:
    found = asked(None, signal=signal)
    assert (found.owner, found.slot) == (None, None)
    assert "the owner depends on the trace id" in found.reasons


def test_logs_go_with_their_trace() -> None:
    assert asked(signal=Signal.LOGS).owner == asked().owner


# ---- sampling


def test_at_1_all_is_kept() -> None:
    found = asked(policy=made(1.0))
    assert (found.kept, found.sampling_rate) == (True, 1.0)
    assert "the sampling rate is 1: all is kept" in found.reasons


@pytest.mark.parametrize(("signal", "rate"), [(Signal.LOGS, 0.0), (Signal.METRICS, 0.5)])
def test_what_is_not_sampled_is_kept(signal: Signal, rate: float) -> None:
    found = asked(signal=signal, policy=made(rate))
    assert (found.kept, found.sampling_rate) == (True, 1.0)
    assert f"{signal} are not sampled" in found.reasons


def test_at_0_nothing_is_kept() -> None:
    for trace_id in (TRACE, None):
        found = asked(trace_id, policy=made(0.0))
        assert (found.kept, found.sampling_rate) == (False, 0.0)
        assert "the sampling rate is 0" in found.reasons


def test_without_a_trace_id_it_depends() -> None:
    found = asked(None, policy=made(0.25))
    assert (found.kept, found.sampling_rate) == (None, 0.25)
    assert "25.0000% of the traces are kept, by their trace id" in found.reasons


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9999])
@pytest.mark.parametrize("off", [-1, 0, 1])
def test_kept_from_the_threshold_on(rate: float, off: int) -> None:
    """The randomness is the last 56 bits of the trace id: the threshold itself is kept."""
    threshold = probability_to_threshold(rate, SamplingPlan().precision)
    trace_id = os.urandom(9).hex() + f"{threshold + off:014x}"
    found = asked(trace_id, policy=made(rate))
    assert found.kept == (off >= 0)
    [why] = [reason for reason in found.reasons if "randomness" in reason]
    assert ("at or above" in why) == found.kept
    assert f"{threshold:014x}" in why


def test_kept_are_about_as_many_as_the_rate_says() -> None:
    dice, policy_ = random.Random(11), made(0.2)
    kept = sum(asked(dice.randbytes(16).hex(), policy=policy_).kept is True for _ in range(2000))
    assert 300 < kept < 500
