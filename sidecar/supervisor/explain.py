"""Where an item would go, whether it is kept, and why: answered from the policy in force, as a worker would decide."""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

from sidecar._native.route import NONE, slot_of
from sidecar._native.sample import probability_to_threshold, threshold_to_text
from sidecar.model import Signal
from sidecar.policy.policy import Policy, RoutedArea
from sidecar.policy.rules import rule_of
from sidecar.routing.strategy import Mode
from sidecar.routing.view import key_of
from sidecar.sampling.plan import SamplingPlan, ServiceRate
from sidecar.snapshot import Explanation, Question

_RANDOM_END = 1 << 56


class _Way(NamedTuple):
    area: RoutedArea
    rule: str
    """The pattern of the rule that decides; empty where none does."""


def explain(question: Question, policy: Policy | None, up: Container[int]) -> Explanation:
    """The answer to `question`; `up` holds the keys of backends that take parts now."""
    if policy is None:
        why = ("no policy is in force yet",)
        return Explanation(question=question, generation=0, strategy="", owner=None, reasons=why)
    reasons: list[str] = []
    kept = _kept(question, policy.sampling, reasons)
    area, rule = _way(question, policy, up, reasons)
    owner, after, slot = _owners(question, policy, area, up, reasons)
    sampled = question.signal in policy.sampling.signals
    return Explanation(
        question=question,
        generation=policy.generation,
        strategy=str(policy.strategy),
        owner=owner,
        next_owners=after,
        slot=slot,
        kept=kept,
        sampling_rate=_rate(question, policy.sampling).rate if sampled else 1.0,
        region=area.region,
        rule=rule,
        view_epoch=area.view.epoch,
        down=tuple(sorted(area.view.down)),
        reasons=tuple(reasons),
    )


# ---- where to


def _way(question: Question, policy: Policy, up: Container[int], reasons: list[str]) -> _Way:
    """The area that the service goes to, as the rules and the members that are up have it."""
    own = policy.own
    if question.service is None:
        if policy.rules:
            reasons.append(f"it stays in {own.region}, unless a routing rule names its service: none was given")
        return _Way(own, "")
    rule = rule_of(policy.rules, question.service)
    if rule is None:
        if policy.rules:
            reasons.append(f"no routing rule names {question.service}: it stays in {own.region}")
        return _Way(own, "")
    area, named = policy.areas[rule.area], f"the rule for {rule.pattern} names {rule.region}"
    if area.region != rule.region:
        reasons.append(f"{named}, where no healthy member is known: it stays in {own.region}")
    elif area is not own and not _any_up(area, up) and _any_up(own, up):
        reasons.append(f"{named}, where nobody is up: it stays in {own.region}")
        return _Way(own, rule.pattern)
    else:
        reasons.append(f"the rule for {rule.pattern} sends it to {rule.region}")
    return _Way(area, rule.pattern)


def _any_up(area: RoutedArea, up: Container[int]) -> bool:
    return any(key_of(member) in up for member in area.view.members)


def _owners(
    question: Question, policy: Policy, area: RoutedArea, up: Container[int], reasons: list[str]
) -> tuple[str | None, tuple[str, ...], int | None]:
    if policy.mode is not Mode.OWNING:
        reasons.append(f"{policy.strategy} places each request anew: a trace has no owner")
        return None, (), None
    if question.signal in {Signal.METRICS, Signal.PROFILES}:
        reasons.append("metrics and profiles go by their resource")
        return None, (), None
    if question.trace_id is None:
        reasons.append("the owner depends on the trace id")
        return None, (), None
    slot = slot_of(bytes.fromhex(question.trace_id))
    members = area.view.members
    owners = [members[number] for number in area.routes.table.owners_of(slot) if number != NONE]
    if not owners:
        reasons.append("every member is down" if area.view.down else "no member has a weight above 0")
        return None, (), slot
    reasons.append(f"slot {slot} of 65536 belongs to {owners[0].name} by weighted rendezvous hashing")
    if area.view.down:
        down = ", ".join(sorted(area.view.down))
        reasons.append(f"view {area.view.epoch} of {area.region} passes over {down}: nothing goes there from anywhere")
    living = next((owner for owner in owners if key_of(owner) in up), None)
    if living is None:
        reasons.append("none of the slot's owners is up: its parts wait for the first one, then the client is told")
        return owners[0].name, tuple(owner.name for owner in owners[1:]), slot
    if living is not owners[0]:
        reasons.append(f"{owners[0].name} is not up, {living.name} stands in")
    return living.name, tuple(owner.name for owner in owners if owner is not living), slot


# ---- whether at all


def _rate(question: Question, plan: SamplingPlan) -> ServiceRate:
    if question.service is None:
        return ServiceRate(rate=plan.rate, priority=plan.priority)
    return plan.of_service(question.service)


def _kept(question: Question, plan: SamplingPlan, reasons: list[str]) -> bool | None:
    rate = _rate(question, plan)
    left = getattr(plan.shed, rate.priority)
    if question.signal not in plan.signals:
        reasons.append(f"{question.signal} are not sampled")
        return True
    if rate.rate >= 1 and left >= 1:
        reasons.append("the sampling rate is 1: all is kept")
        return True
    threshold = _threshold(rate.rate, left, plan.precision)
    if threshold == _RANDOM_END:
        reasons.append("the sampling rate is 0" if rate.rate <= 0 else f"all of priority {rate.priority} is shed")
        return False
    if left < 1:
        reasons.append(f"{left:.4%} of what has priority {rate.priority} and no error is left by shedding")
    if question.trace_id is None:
        reasons.append(f"{rate.rate:.4%} of the traces are kept, by their trace id")
        return None
    randomness = int(question.trace_id[-14:], 16)
    kept = randomness >= threshold
    reasons.append(
        f"randomness {randomness:014x} is {'at or above' if kept else 'below'} the threshold "
        f"{threshold:014x} (ot=th:{threshold_to_text(threshold)}), unless its tracestate carries rv"
    )
    return kept


def _threshold(rate: float, left: float, precision: int) -> int:
    """The threshold of a rate and of shedding on top of it, as the kernel has it."""
    own, shed = (probability_to_threshold(part, precision) for part in (rate, left))
    if own == 0 or shed == 0:
        return own or shed
    both = (_RANDOM_END - own) / _RANDOM_END * (_RANDOM_END - shed) / _RANDOM_END
    return max(probability_to_threshold(both, precision), own)
