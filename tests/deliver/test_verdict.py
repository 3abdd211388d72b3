import random

import pytest

from sidecar.config.schema import BackoffConfig, DeliveryConfig
from sidecar.deliver.failure import LONGEST_PAUSE_S, NO_STATUS, Failure
from sidecar.deliver.verdict import Act, Verdict, backoff_s, judge
from sidecar.errors import GrpcStatus
from tests.deliver.failures import LOST, NOT_LOOKED_AT, REFUSED, RESET, UNSENT, partly, refused

RULES = DeliveryConfig(max_retries=2, backoff=BackoffConfig(initial_s=0.1, max_s=1.0))
NO_TWICE = DeliveryConfig(max_retries=2, may_duplicate_on_reset=False)

RETRIED = frozenset(["CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"])
"""OTLP's table, "Failures": these, and RESOURCE_EXHAUSTED where RetryInfo comes with it."""
OF_ONE_PART = frozenset(["INVALID_ARGUMENT", "INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED"])
"""May be the fault of one part of a batch; the others are said of the caller or of the method."""
FAILED = [status for status in GrpcStatus if status is not GrpcStatus.OK]
NEVER = [status for status in FAILED if status.name not in RETRIED]


def verdict(
    failure: Failure,
    rules: DeliveryConfig = RULES,
    *,
    other_up: bool = False,
    queued: bool = False,
    seed: int = 1,
) -> Verdict:
    return judge(failure, rules, other_up=other_up, queued=queued, dice=random.Random(seed))


# ---- which codes


@pytest.mark.parametrize("status", FAILED)
@pytest.mark.parametrize("retry_after_s", [None, 0.0, 0.5])
def test_what_is_sent_again_is_what_otlp_says(status: GrpcStatus, retry_after_s: float | None) -> None:
    throttled = status is GrpcStatus.RESOURCE_EXHAUSTED and retry_after_s is not None
    again = status.name in RETRIED or throttled
    failure = refused(status, "no", retry_after_s)
    assert failure.retryable == again
    for other_up in (True, False):
        for queued in (True, False):
            act = verdict(failure, other_up=other_up, queued=queued).act
            assert act is (Act.RETRY if again else Act.REFUSE)


@pytest.mark.parametrize("status", NEVER)
@pytest.mark.parametrize("tries", [1, 5])
def test_what_must_not_be_sent_again_goes_to_nobody_else_either(status: GrpcStatus, tries: int) -> None:
    failure = refused(status, "not like this")._replace(tries=tries, left_s=0.01)
    made = verdict(failure, other_up=True)
    assert made == Verdict(Act.REFUSE, status=status, words="not like this")


def test_a_refusal_without_words_names_the_status() -> None:
    assert verdict(refused(GrpcStatus.PERMISSION_DENIED)).words == "the backend answered PERMISSION_DENIED"


# ---- too late


@pytest.mark.parametrize(
    ("failure", "blame"),
    [
        (RESET._replace(age_s=0.1), False),
        (RESET._replace(age_s=RULES.max_wait_s / 2), True),
        (UNSENT._replace(age_s=10.0), False),
        (LOST._replace(age_s=10.0), False),
        (REFUSED._replace(age_s=0.1), True),
        (refused(GrpcStatus.INVALID_ARGUMENT, parts=3)._replace(age_s=0.1), False),
    ],
)
def test_what_nobody_waits_for_is_forgotten(failure: Failure, *, blame: bool) -> None:
    for other_up in (False, True):
        assert verdict(failure._replace(left_s=-1.0), other_up=other_up) == Verdict(Act.FORGET, blame=blame)


def test_what_nobody_waits_for_may_say_when_to_come_back() -> None:
    failure = refused(GrpcStatus.RESOURCE_EXHAUSTED, retry_after_s=5.0)._replace(left_s=-1.0)
    assert verdict(failure) == Verdict(Act.FORGET, pause_s=5.0, blame=True)


def test_a_connection_that_broke_is_no_blame() -> None:
    assert not verdict(LOST).blame
    assert verdict(RESET).blame


# ---- here, then elsewhere, then not at all


@pytest.mark.parametrize("max_retries", [0, 1, 3])
@pytest.mark.parametrize("failure", [REFUSED, RESET], ids=["refused", "reset"])
def test_retries_then_the_next_owner_then_the_client(failure: Failure, max_retries: int) -> None:
    rules = DeliveryConfig(max_retries=max_retries)
    for rerouted in (False, True):
        for tries in range(1, max_retries + 1):
            made = verdict(failure._replace(tries=tries, rerouted=rerouted), rules, other_up=True)
            assert made.act is Act.RETRY
        last = verdict(failure._replace(tries=max_retries + 1, rerouted=rerouted), rules, other_up=True)
        assert last.act is (Act.GIVE_UP if rerouted else Act.REROUTE)


def test_without_another_owner_it_ends_after_the_retries() -> None:
    assert verdict(REFUSED._replace(tries=2)).act is Act.RETRY
    ended = verdict(REFUSED._replace(tries=3, message=b"queue%20full"))
    assert ended.act is Act.GIVE_UP
    assert ended.words == "the backend answered UNAVAILABLE: queue full"
    assert ended.delay_s == 1.0, "the client is told when to come back"


def test_what_has_no_words_is_told_in_ours() -> None:
    assert verdict(LOST._replace(tries=3)).words == "the backend failed"


def test_a_pause_longer_than_half_of_what_is_left_is_spent_elsewhere() -> None:
    slow = DeliveryConfig(backoff=BackoffConfig(initial_s=10.0, max_s=10.0))
    pause_s = verdict(REFUSED, slow, seed=3).delay_s
    assert pause_s > 1.0
    for left_s, act in ((2 * pause_s + 0.01, Act.RETRY), (2 * pause_s - 0.01, Act.REROUTE)):
        assert verdict(REFUSED._replace(left_s=left_s), slow, other_up=True, seed=3).act is act
        assert verdict(REFUSED._replace(left_s=left_s), slow, seed=3).act is Act.RETRY, "nobody else is up"
        once = REFUSED._replace(left_s=left_s, rerouted=True)
        assert verdict(once, slow, other_up=True, seed=3).act is Act.RETRY, "it has been handed on already"


# ---- backoff


@pytest.mark.parametrize(("tries", "bound_s"), [(0, 0.1), (1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.0), (999, 1.0)])
def test_backoff_has_full_jitter_below_a_bound_that_doubles(tries: int, bound_s: float) -> None:
    class Dice(random.Random):
        def uniform(self, a: float, b: float) -> float:
            assert a == 0.0
            return b

    assert backoff_s(tries, RULES, Dice()) == pytest.approx(bound_s)


def test_the_pauses_differ() -> None:
    assert len({verdict(REFUSED, seed=seed).delay_s for seed in range(50)}) > 40


# ---- RetryInfo


@pytest.mark.parametrize("status", [GrpcStatus.UNAVAILABLE, GrpcStatus.RESOURCE_EXHAUSTED, GrpcStatus.ABORTED])
def test_retry_info_pauses_the_backend_and_is_waited_for(status: GrpcStatus) -> None:
    made = verdict(refused(status, retry_after_s=5.0))
    assert (made.act, made.pause_s) == (Act.RETRY, 5.0)
    assert made.delay_s >= 5.0


def test_a_short_retry_info_does_not_shorten_the_backoff() -> None:
    plain = verdict(REFUSED, seed=7).delay_s
    assert verdict(refused(GrpcStatus.UNAVAILABLE, retry_after_s=plain / 2), seed=7).delay_s == plain


def test_parts_that_cannot_wait_go_to_the_next_owner_and_the_backend_rests_all_the_same() -> None:
    failure = refused(GrpcStatus.RESOURCE_EXHAUSTED, retry_after_s=5.0)._replace(left_s=9.0)
    assert verdict(failure, other_up=True) == Verdict(Act.REROUTE, pause_s=5.0, blame=True)


def test_who_is_told_in_the_end_is_told_when_to_come_back() -> None:
    made = verdict(refused(GrpcStatus.UNAVAILABLE, retry_after_s=7.0)._replace(tries=3))
    assert (made.act, made.delay_s, made.pause_s) == (Act.GIVE_UP, 7.0, 7.0)


def test_ten_thousand_years_are_an_hour() -> None:
    made = verdict(refused(GrpcStatus.UNAVAILABLE, retry_after_s=315_576_000_000.0)._replace(tries=3))
    assert (made.delay_s, made.pause_s) == (LONGEST_PAUSE_S, LONGEST_PAUSE_S)


def test_a_refusal_for_good_pauses_nothing() -> None:
    assert verdict(refused(GrpcStatus.INVALID_ARGUMENT, retry_after_s=5.0)).pause_s == 0.0


# ---- connections that break


@pytest.mark.parametrize("other_up", [True, False])
def test_a_lost_connection(other_up: bool) -> None:
    """The backend may have seen the call: it is sent again by default, elsewhere at once."""
    assert verdict(LOST, other_up=other_up).act is (Act.REROUTE if other_up else Act.RETRY)
    assert verdict(LOST._replace(rerouted=True), other_up=other_up).act is Act.RETRY


@pytest.mark.parametrize("failure", [LOST, RESET], ids=["lost", "reset"])
@pytest.mark.parametrize("other_up", [True, False])
def test_where_nothing_may_come_twice_what_may_have_arrived_is_given_up(failure: Failure, other_up: bool) -> None:
    made = verdict(failure, NO_TWICE, other_up=other_up)
    assert (made.act, made.delay_s, made.words) == (Act.GIVE_UP, 1.0, "the backend failed")


@pytest.mark.parametrize("failure", [LOST, RESET], ids=["lost", "reset"])
def test_an_answer_that_was_complete_is_no_doubt(failure: Failure) -> None:
    """Some servers reset the stream, or go, once they have refused."""
    answered = failure._replace(grpc_status=GrpcStatus.UNAVAILABLE)
    assert verdict(answered, NO_TWICE).act is Act.RETRY
    assert verdict(REFUSED._replace(grpc_status=NO_STATUS, http_status=503), NO_TWICE).act is Act.RETRY


@pytest.mark.parametrize("rules", [RULES, NO_TWICE], ids=["may duplicate", "may not"])
@pytest.mark.parametrize("failure", [UNSENT, NOT_LOOKED_AT], ids=["unsent", "refused stream"])
@pytest.mark.parametrize("tries", [1, 2, 3, 50])
@pytest.mark.parametrize("rerouted", [True, False])
@pytest.mark.parametrize("other_up", [True, False])
def test_what_was_certainly_not_processed_is_always_sent_again(
    rules: DeliveryConfig, failure: Failure, tries: int, rerouted: bool, other_up: bool
) -> None:
    made = verdict(failure._replace(tries=tries, rerouted=rerouted), rules, other_up=other_up)
    assert made.act in {Act.RETRY, Act.REROUTE}


def test_a_refused_stream_is_tried_again_at_once_and_then_with_pauses() -> None:
    assert verdict(NOT_LOOKED_AT) == Verdict(Act.RETRY, 0.0, GrpcStatus.UNAVAILABLE, "the backend failed", blame=True)
    assert verdict(NOT_LOOKED_AT._replace(tries=2)).delay_s > 0


# ---- ack: queued


@pytest.mark.parametrize("failure", [REFUSED, LOST, RESET, NOT_LOOKED_AT], ids=["refused", "lost", "reset", "stream"])
@pytest.mark.parametrize("other_up", [True, False])
def test_queued_never_gives_up_while_there_is_time(failure: Failure, other_up: bool) -> None:
    for tries in (1, 3, 100):
        for rerouted in (True, False):
            asked = failure._replace(tries=tries, rerouted=rerouted, left_s=0.5)
            assert verdict(asked, other_up=other_up, queued=True).act in {Act.RETRY, Act.REROUTE}


def test_queued_does_not_resend_what_may_not_come_twice() -> None:
    """The one promise that is stronger: it is booked as dropped."""
    assert verdict(LOST, NO_TWICE, queued=True).act is Act.GIVE_UP


@pytest.mark.parametrize("status", NEVER)
def test_queued_or_not_a_refusal_for_good_is_one(status: GrpcStatus) -> None:
    assert verdict(refused(status), queued=True).act is Act.REFUSE


# ---- batches of several parts


@pytest.mark.parametrize("status", NEVER)
def test_a_merged_batch_that_is_refused_is_scattered_where_one_part_may_be_to_blame(status: GrpcStatus) -> None:
    made = verdict(refused(status, "bad data", parts=3), other_up=True)
    blame = status.name in OF_ONE_PART
    assert (made.act, made.unmerge) == ((Act.SCATTER, True) if blame else (Act.REFUSE, False))
    assert (made.status, made.words) == (status, "bad data")


def test_what_may_be_sent_again_is_sent_again_merged() -> None:
    made = verdict(refused(GrpcStatus.UNAVAILABLE, parts=3))
    assert (made.act, made.unmerge) == (Act.RETRY, False)


# ---- OK with something to read


def test_partial_success_of_one_part_is_passed_on() -> None:
    assert verdict(partly(4)) == Verdict(Act.ACCEPT, rejected=4, words="too old")


def test_partial_success_of_a_merged_batch_unmerges_the_next_ones() -> None:
    assert verdict(partly(4, parts=2)) == Verdict(Act.ACCEPT, rejected=4, words="too old", unmerge=True)


def test_a_warning_is_no_loss() -> None:
    assert verdict(partly(0, "slow down", parts=2)) == Verdict(Act.ACCEPT, words="slow down")


@pytest.mark.parametrize(("told", "rejected"), [(-3, 0), (10, 10), (11, 10), (2**63 - 1, 10)])
def test_nobody_rejects_more_than_there_is(told: int, rejected: int) -> None:
    assert verdict(partly(told)).rejected == rejected


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (b"", GrpcStatus.OK, ""),
        (b"\0\0\0\0\x03\xff\xff\xff", GrpcStatus.UNKNOWN, "an answer that is no Export response"),
    ],
)
def test_an_ok_that_does_not_read_is_an_ok(answer: bytes, status: GrpcStatus, words: str) -> None:
    failure = REFUSED._replace(grpc_status=GrpcStatus.OK, answer=answer)
    assert verdict(failure) == Verdict(Act.ACCEPT, status=status, words=words)


@pytest.mark.parametrize("other_up", [True, False])
def test_an_ok_stays_one_when_its_stream_is_reset_after_it(other_up: bool) -> None:
    assert verdict(partly(0, "")._replace(h2_error=8), NO_TWICE, other_up=other_up).act is Act.ACCEPT
