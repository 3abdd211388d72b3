"""Where an item would go, whether it is kept, and why: answered from the policy in force, as a worker would decide."""

from __future__ import annotations

from collections.abc import Container

from sidecar._native.route import NONE, slot_of
from sidecar._native.sample import probability_to_threshold, threshold_to_text
from sidecar.model import Signal
from sidecar.policy.policy import Policy
from sidecar.routing.strategy import Mode
from sidecar.routing.view import key_of
from sidecar.snapshot import Explanation, Question


def explain(question: Question, policy: Policy | None, up: Container[int]) -> Explanation:
    """The answer to `question`; `up` holds the keys of backends that take parts now."""
    if policy is None:
        why = ("no policy is in force yet",)
        return Explanation(question=question, generation=0, strategy="", owner=None, reasons=why)
    reasons: list[str] = []
    kept = _kept(question, policy, reasons)
    owner, after, slot = _owners(question, policy, up, reasons)
    return Explanation(
        question=question,
        generation=policy.generation,
        strategy=str(policy.strategy),
        owner=owner,
        next_owners=after,
        slot=slot,
        kept=kept,
        sampling_rate=policy.sampling.rate if question.signal in policy.sampling.signals else 1.0,
        reasons=tuple(reasons),
    )


def _owners(
    question: Question, policy: Policy, up: Container[int], reasons: list[str]
) -> tuple[str | None, tuple[str, ...], int | None]:
    if policy.routes.mode is not Mode.OWNING:
        reasons.append(f"{policy.strategy} places each request anew: a trace has no owner")
        return None, (), None
    if question.signal in {Signal.METRICS, Signal.PROFILES}:
        reasons.append("metrics and profiles go by their resource")
        return None, (), None
    if question.trace_id is None:
        reasons.append("the owner depends on the trace id")
        return None, (), None
    slot = slot_of(bytes.fromhex(question.trace_id))
    members = policy.view.members
    owners = [members[number] for number in policy.routing().owners_of(slot) if number != NONE]
    if not owners:
        reasons.append("no member has a weight above 0")
        return None, (), slot
    reasons.append(f"slot {slot} of 65536 belongs to {owners[0].name} by weighted rendezvous hashing")
    living = next((owner for owner in owners if key_of(owner) in up), None)
    if living is None:
        reasons.append("none of the slot's owners is up: its parts wait for the first one, then the client is told")
        return owners[0].name, tuple(owner.name for owner in owners[1:]), slot
    if living is not owners[0]:
        reasons.append(f"{owners[0].name} is not up, {living.name} stands in")
    return living.name, tuple(owner.name for owner in owners if owner is not living), slot


def _kept(question: Question, policy: Policy, reasons: list[str]) -> bool | None:
    sampling = policy.sampling
    if question.signal not in sampling.signals or sampling.rate >= 1:
        reasons.append(f"{question.signal} are not sampled")
        return True
    if sampling.rate <= 0:
        reasons.append("the sampling rate is 0")
        return False
    if question.trace_id is None:
        reasons.append(f"{sampling.rate:.4%} of the traces are kept, by their trace id")
        return None
    threshold = probability_to_threshold(sampling.rate, sampling.precision)
    randomness = int(question.trace_id[-14:], 16)
    kept = randomness >= threshold
    reasons.append(
        f"randomness {randomness:014x} is {'at or above' if kept else 'below'} the threshold "
        f"{threshold:014x} (ot=th:{threshold_to_text(threshold)}), unless its tracestate carries rv"
    )
    return kept
