"""What is done about a call that failed: a pure function of the failure, the rules and who else is up.

answer OK, partial_success           -> ACCEPT
nobody waits for it any more         -> FORGET
retryable, connection lost, reset    -> RETRY here, up to max_retries; then REROUTE; then GIVE_UP (UNAVAILABLE)
certainly not processed              -> the same, but RETRY as long as there is time
not retryable, several parts         -> SCATTER: each part again, alone, so that only the bad one is lost
not retryable, one part              -> REFUSE
"""

from __future__ import annotations

import random
from enum import Enum, auto
from typing import NamedTuple

from sidecar.config.schema import DeliveryConfig
from sidecar.deliver.failure import Failure
from sidecar.errors import GrpcStatus

_PREFIX_BYTES = 5
_CONTENT = frozenset(
    {GrpcStatus.INVALID_ARGUMENT, GrpcStatus.INTERNAL, GrpcStatus.UNKNOWN, GrpcStatus.RESOURCE_EXHAUSTED}
)
"""Refusals that may be the fault of one part; others (credentials, unknown method) concern every call alike."""


class Act(Enum):
    """What to do with the batch."""

    ACCEPT = auto()
    FORGET = auto()
    RETRY = auto()
    REROUTE = auto()
    SCATTER = auto()
    REFUSE = auto()
    GIVE_UP = auto()


class Verdict(NamedTuple):
    """What is done, and what the backend's behaviour leads to beside."""

    act: Act
    delay_s: float = 0.0
    """RETRY: from now. GIVE_UP: what the client is told."""
    status: GrpcStatus = GrpcStatus.OK
    """ACCEPT: whether the words are the backend's (OK) or ours, for the log."""
    words: str = ""
    rejected: int = 0
    """ACCEPT: items that the backend refused by partial_success."""
    pause_s: float = 0.0
    """No call to this backend for so long (its RetryInfo)."""
    unmerge: bool = False
    """Its parts travel alone for a while, so that the next refusal has a name."""
    blame: bool = False
    """It says that the backend is not well: the breaker counts it."""


def judge(failure: Failure, rules: DeliveryConfig, *, other_up: bool, queued: bool, dice: random.Random) -> Verdict:
    """The verdict on a failed call.

    other_up: whether another owner can take parts. queued: the clients have their OK already, so that nobody can be
    told and the parts are tried as long as their time lasts.
    """
    if failure.status is GrpcStatus.OK:
        return _accepted(failure)
    asked_s = failure.retry_after_s or 0.0
    if failure.left_s < 0:
        return Verdict(Act.FORGET, pause_s=asked_s, blame=_was_slow(failure, rules))
    if not failure.retryable:
        return _refused(failure)
    return _passing(failure, rules, asked_s, other_up=other_up, queued=queued, dice=dice)._replace(
        pause_s=asked_s, blame=not failure.connection_lost
    )


def _passing(
    failure: Failure, rules: DeliveryConfig, asked_s: float, *, other_up: bool, queued: bool, dice: random.Random
) -> Verdict:
    """Somebody may take it, some time."""
    words = f"the backend answered {failure.status.name}: {failure.words}" if failure.words else "the backend failed"
    if not _may_send_again(failure, rules):
        return Verdict(Act.GIVE_UP, max(asked_s, 1.0), failure.status, words)
    delay_s = max(backoff_s(failure.tries, rules, dice), asked_s)
    if failure.unprocessed and not failure.connection_lost and failure.tries <= 1:
        delay_s = asked_s
    elsewhere = other_up and not failure.rerouted
    tried = failure.tries > rules.max_retries
    if elsewhere and (tried or failure.connection_lost or delay_s > failure.left_s / 2):
        return Verdict(Act.REROUTE)
    if tried and not queued and not failure.unprocessed:
        return Verdict(Act.GIVE_UP, max(asked_s, 1.0), failure.status, words)
    return Verdict(Act.RETRY, delay_s, failure.status, words)


def backoff_s(tries: int, rules: DeliveryConfig, dice: random.Random) -> float:
    """Exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", 2015)."""
    bound_s = min(rules.backoff.max_s, rules.backoff.initial_s * 2 ** min(max(tries - 1, 0), 30))
    return dice.uniform(0.0, bound_s)


def _was_slow(failure: Failure, rules: DeliveryConfig) -> bool:
    """Whether a call that came too late had its fair time: half of the longest wait.

    Else its clients were in a hurry, or the parts had waited here. A backend that says so itself is believed.
    """
    if failure.connection_lost:
        return False
    return failure.age_s >= rules.max_wait_s / 2 or (failure.refused and failure.retryable)


def _may_send_again(failure: Failure, rules: DeliveryConfig) -> bool:
    """Whether a second send is allowed although the first may have arrived."""
    return failure.unprocessed or failure.refused or rules.may_duplicate_on_reset


def _accepted(failure: Failure) -> Verdict:
    """OK with something to read. partial_success has the same place in the responses of all signals."""
    # Here and not above: protobuf would cost each worker 5 MB, and most never see a partial success.
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        partial = ExportTraceServiceResponse.FromString(failure.answer[_PREFIX_BYTES:]).partial_success
    except DecodeError:
        return Verdict(Act.ACCEPT, status=GrpcStatus.UNKNOWN, words="an answer that is no Export response")
    rejected = min(max(partial.rejected_spans, 0), failure.items)
    return Verdict(
        Act.ACCEPT, words=partial.error_message, rejected=rejected, unmerge=rejected > 0 and failure.parts > 1
    )


def _refused(failure: Failure) -> Verdict:
    words = failure.words or f"the backend answered {failure.status.name}"
    if failure.parts > 1 and failure.status in _CONTENT:
        return Verdict(Act.SCATTER, status=failure.status, words=words, unmerge=True)
    return Verdict(Act.REFUSE, status=failure.status, words=words)
