"""Backends that refuse: one bad part among many, a share of a request, everything for a while."""

import threading
from collections.abc import Iterator

import pytest

from sidecar.errors import GrpcStatus
from tests.faults.books import duplicates, seen, settle
from tests.harness import otlp
from tests.harness.clients import Client, Clients, Exports, statuses
from tests.harness.gateway import Gateway
from tests.harness.patience import until
from tests.harness.sink import ACCEPT, Answer, Received, Sink, always

pytestmark = pytest.mark.process


def refuse_poison(received: Received) -> Answer:
    """What a decoding backend does: the whole request is refused for one bad span in it."""
    if b"poison" in received.body:
        return Answer(GrpcStatus.INVALID_ARGUMENT, "bad data", delay_s=0.02)
    return Answer(delay_s=0.02)


def test_poison_in_a_merged_batch_hurts_its_client_alone() -> None:
    with (
        Sink(refuse_poison) as sink,
        Gateway([sink.port], settings={"delivery.max_in_flight": 1}) as gateway,
        Clients(gateway.address, 6) as load,
        Client(gateway.address) as bad,
    ):
        until(load.progressed(20), "clients are served")
        told = [bad.export(otlp.spans(3, service="poison")) for _ in range(5)]
        until(load.progressed(20), "clients are served")
        load.stop()
        settle(gateway)
        assert [(one.status, one.words) for one in told] == [(GrpcStatus.INVALID_ARGUMENT, "bad data")] * 5
        assert load.failures == []
        assert load.acknowledged == sink.span_ids().keys()
        assert duplicates(sink.span_ids()) == 0
        assert any(len(otlp.ids(received.body)) > 3 for received in sink.refused), "it was merged with others' parts"
        ledger = gateway.ledger()
        assert (ledger.rejected, ledger.dropped_total) == (15, 0)


def test_partial_success_reaches_the_client_of_a_part_that_went_alone() -> None:
    with Sink(always(Answer(rejected=2, words="too old"))) as sink, Gateway([sink.port]) as gateway:
        with Client(gateway.address) as client:
            told = client.export(otlp.spans(5))
        assert (told.status, told.rejected, told.words) == (GrpcStatus.OK, 2, "too old")
        settle(gateway)
        ledger = gateway.ledger()
        assert (ledger.received, ledger.forwarded, ledger.rejected) == (5, 3, 2)


def test_partial_success_of_a_merged_batch_is_booked() -> None:
    """Nobody can tell whose items they were: the clients have an OK, the ledger has the loss."""
    held, go_on = threading.Event(), threading.Event()

    def hold_the_first(_: Received) -> Answer:
        if held.is_set():
            return Answer(rejected=1, words="too old")
        held.set()
        go_on.wait()
        return Answer()

    with (
        Sink(hold_the_first) as sink,
        Gateway([sink.port], settings={"delivery.max_in_flight": 1, "batch.max_wait": "2s"}) as gateway,
    ):
        exports = Exports(gateway.address)
        exports.begin(otlp.spans(4))
        held.wait()
        exports.begin(*(otlp.spans(4) for _ in range(4)))
        until(lambda: gateway.ledger().in_flight == 20, "one call is held, the others gather")
        go_on.set()
        told = exports.end()
        assert statuses(told) == {GrpcStatus.OK}
        assert sum(one.rejected for one in told) == 0
        settle(gateway)
        ledger = gateway.ledger()
        assert (ledger.received, ledger.forwarded, dict(ledger.dropped)) == (20, 19, {"backend_partial": 1})


@pytest.mark.parametrize(
    ("status", "retry_after_s", "told"),
    [
        (GrpcStatus.UNAVAILABLE, None, GrpcStatus.OK),
        (GrpcStatus.UNAVAILABLE, 0.05, GrpcStatus.OK),
        (GrpcStatus.RESOURCE_EXHAUSTED, 0.05, GrpcStatus.OK),
        (GrpcStatus.ABORTED, None, GrpcStatus.OK),
        (GrpcStatus.RESOURCE_EXHAUSTED, None, GrpcStatus.RESOURCE_EXHAUSTED),
        (GrpcStatus.PERMISSION_DENIED, None, GrpcStatus.PERMISSION_DENIED),
        (GrpcStatus.INTERNAL, None, GrpcStatus.INTERNAL),
        (GrpcStatus.UNIMPLEMENTED, None, GrpcStatus.UNIMPLEMENTED),
    ],
)
def test_an_answer_that_is_no_ok(
    refusing: tuple[Gateway, Sink], status: GrpcStatus, retry_after_s: float | None, told: GrpcStatus
) -> None:
    """What may be sent again is, and arrives; what may not is told to the client as it was said."""
    gateway, sink = refusing
    refusals = iter([Answer(status, "no, thank you", retry_after_s)])
    sink.script = lambda _: next(refusals, Answer())
    before, body = gateway.ledger(), otlp.spans(3)
    with Client(gateway.address) as client:
        answer = client.export(body)
    assert answer.status is told
    settle(gateway)
    arrived = set(otlp.ids(body)) <= sink.span_ids().keys()
    assert arrived == (told is GrpcStatus.OK)
    after = gateway.ledger()
    assert after.forwarded - before.forwarded == (3 if arrived else 0)
    assert after.rejected - before.rejected == (0 if arrived else 3)
    if not arrived:
        assert answer.words == "no, thank you"
        assert answer.retry_after_s is None


@pytest.fixture(scope="module")
def refusing() -> Iterator[tuple[Gateway, Sink]]:
    with Sink() as sink, Gateway([sink.port]) as gateway:
        yield gateway, sink


def test_shares_that_end_differently() -> None:
    """One owner takes its share, the other refuses for good: partial_success. One says not now: UNAVAILABLE."""
    with (
        Sink() as good,
        Sink(always(Answer(GrpcStatus.INVALID_ARGUMENT, "bad data"))) as bad,
        Gateway([good.port, bad.port], settings={"delivery.max_wait": "1s", "delivery.max_retries": 0}) as gateway,
        Client(gateway.address) as client,
    ):
        body = otlp.spans(40, per_trace=1)
        told = client.export(body)
        assert (told.status, told.rejected) == (GrpcStatus.OK, 40 - len(good.span_ids()))
        assert 0 < told.rejected < 40
        assert told.words == "bad data"
        assert seen([good, bad]) == good.span_ids()
        bad.script = always(Answer(GrpcStatus.UNAVAILABLE, "not now"))
        good.script = always(Answer(GrpcStatus.UNAVAILABLE, "not now"))
        told = client.export(otlp.spans(40, per_trace=1))
        assert told.status is GrpcStatus.UNAVAILABLE
        assert told.retry_after_s
        good.script = bad.script = ACCEPT
        until(lambda: client.export(otlp.spans(40, per_trace=1)).status is GrpcStatus.OK, "both take it again")
        settle(gateway)
