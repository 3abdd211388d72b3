"""Explanations of services: the rule and the region that they go to, their rate, and what is shed."""

from __future__ import annotations

import random

import pytest

from sidecar._native.route import slot_of
from sidecar._native.sample import sample
from sidecar.model import Priority
from sidecar.pipeline.sampler import Sampler
from sidecar.policy.policy import Policy
from sidecar.routing.view import key_of
from sidecar.sampling.plan import SamplingPlan, ServiceRate, Shed
from sidecar.snapshot import Explanation, Question
from sidecar.supervisor.explain import explain
from tests.policy.policies import elsewhere, members, policy, rule, slots_of
from tests.routing.worker import Worker, of_services

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ALL = frozenset(map(key_of, members(40)))
RULES = [
    rule("critical-*", "west", Priority.HIGH),
    rule("lost-*", "atlantis"),
    rule("sick-*", "ill"),
    rule("home", "here"),
]


def made(sampling: SamplingPlan | None = None, down: frozenset[str] = frozenset()) -> Policy:
    others = [elsewhere("west", 4, first=10, down=down), elsewhere("ill", 1, first=20, down=frozenset({"c20"}))]
    return policy(members(5), epoch=3, others=others, rules=RULES, sampling=sampling)


def asked(service: str | None, by: Policy, up: frozenset[int] = ALL, trace_id: str | None = TRACE) -> Explanation:
    return explain(Question(trace_id=trace_id, service=service), by, up)


@pytest.mark.parametrize(
    ("service", "region", "by", "why"),
    [
        ("critical-pay", "west", "critical-*", "the rule for critical-* sends it to west"),
        ("home", "here", "home", "the rule for home sends it to here"),
        ("shop", "here", "", "no routing rule names shop: it stays in here"),
        (None, "here", "", "it stays in here, unless a routing rule names its service: none was given"),
        ("lost-1", "here", "lost-*", "names atlantis, where no healthy member is known: it stays in here"),
        ("sick-1", "here", "sick-*", "names ill, where no healthy member is known: it stays in here"),
    ],
)
def test_the_rule_and_its_region(service: str | None, region: str, by: str, why: str) -> None:
    policy_ = made()
    found = asked(service, policy_)
    assert (found.region, found.rule, found.view_epoch) == (region, by, 3 if region == "here" else 1)
    assert any(why in reason for reason in found.reasons)
    area = [one.region for one in policy_.areas].index(region)
    owner = slots_of(policy_, area).owners_of(slot_of(bytes.fromhex(TRACE)))[0]
    assert found.owner == policy_.areas[area].view.members[owner].name


def test_a_region_where_nobody_is_up_is_not_waited_for() -> None:
    up = frozenset(map(key_of, members(5)))
    found = asked("critical-pay", made(), up)
    assert (found.region, found.rule) == ("here", "critical-*")
    assert any("names west, where nobody is up: it stays in here" in reason for reason in found.reasons)
    assert asked("critical-pay", made(), frozenset()).region == "west"


def test_who_is_passed_over_is_named() -> None:
    found = asked("critical-pay", made(down=frozenset({"c11", "c10"})))
    assert found.down == ("c10", "c11")
    assert any("view 1 of west passes over c10, c11" in reason for reason in found.reasons)
    assert {found.owner, *found.next_owners} <= {"c12", "c13"}


def test_without_rules_nothing_is_said_of_them() -> None:
    found = asked("shop", policy(members(5)))
    assert (found.region, found.rule) == ("here", "")
    assert not any("rule" in reason for reason in found.reasons)


PLAN = SamplingPlan(
    rate=0.5,
    services={"pay": ServiceRate(rate=1.0, priority=Priority.HIGH), "none": ServiceRate(rate=0.0)},
    patterns=(("debug-*", ServiceRate(rate=0.25, priority=Priority.LOW)),),
    shed=Shed(low=0.5, normal=0.9),
)


@pytest.mark.parametrize("service", ["pay", "none", "debug-1", "shop"])
@pytest.mark.parametrize("shed", [Shed(), PLAN.shed, Shed(low=0.0, normal=0.0, high=0.3)])
def test_what_is_kept_is_what_the_kernel_keeps(service: str, shed: Shed) -> None:
    plan = SamplingPlan(rate=PLAN.rate, services=PLAN.services, patterns=PLAN.patterns, shed=shed)
    ids = [random.Random(seed).randbytes(16) for seed in range(300)]
    worker, sampler = Worker(0), Sampler(plan)
    tick = worker.tick([of_services([(service, ids)])])
    sampler.meet(0, worker.core.services())
    sample(tick, sampler.table)
    kept = [item.owner != 0xFFFE for item in tick.items()]
    policy_ = made(plan)
    assert [asked(service, policy_, trace_id=trace_id.hex()).kept for trace_id in ids] == kept


def test_rate_and_shedding_are_named() -> None:
    found = asked("debug-1", made(PLAN), trace_id=None)
    assert (found.kept, found.sampling_rate) == (None, 0.25)
    assert "50.0000% of what has priority low and no error is left by shedding" in found.reasons
    gone = asked("debug-1", made(SamplingPlan(rate=1.0, priority=Priority.LOW, shed=Shed(low=0.0))))
    assert gone.kept is False
    assert "all of priority low is shed" in gone.reasons
