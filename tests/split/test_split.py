"""Scenario: requests are split over backends. Guarantees: protobuf finds every item again, once, at its owner."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from sidecar._native.route import slot_of
from sidecar._native.sample import Sampling, probability_to_threshold, threshold_to_text
from sidecar._native.scan import Tick
from tests.kernels.generate import Maker
from tests.kernels.oracle import scan
from tests.kernels.otlp import LOGS, METRICS, PROFILES, REQUESTS, TRACES
from tests.kernels.wire import MalformedError, field
from tests.split.judge import Judge
from tests.split.stages import EVERY_SIGNAL, Limits, Stages, in_turn, random_slots

Key = tuple[bytes, bytes, bytes]


def plain(message: Message, *without: str) -> bytes:
    """The message without some of its fields, unknown ones included."""
    rest = type(message)()
    rest.CopyFrom(message)
    for name in without:
        rest.ClearField(name)
    return rest.SerializeToString(deterministic=True)


def children(message: Message, number: int) -> tuple[str, list[Message]]:
    name = message.DESCRIPTOR.fields_by_number[number].name
    return name, list(getattr(message, name))


def items(message: Message) -> Iterator[tuple[Key, Message]]:
    """Every item with what stands around it: resource and scope with schema and unknown fields.

    Its tracestate is left out: sample corrects one that contradicts itself.
    """
    for resource in children(message, 1)[1]:
        scopes_name, scopes = children(resource, 2)
        for scope in scopes:
            items_name, inside = children(scope, 2)
            state = ["trace_state"] if items_name == "spans" else []
            for item in inside:
                yield (plain(resource, scopes_name), plain(scope, items_name), plain(item, *state)), item


def read(signal: int, body: bytes) -> Message:
    message = REQUESTS[signal]()
    message.ParseFromString(body)
    return message


def multiset(signal: int, bodies: Iterable[bytes]) -> Counter[Key]:
    return Counter(key for body in bodies for key, _ in items(read(signal, body)))


def valid(rng: random.Random, signal: int) -> bytes:
    """A request that protobuf takes, in odd encodings, with fields that nobody knows at every level."""
    while True:
        maker = Maker(rng)
        body = maker.encode(maker.request(signal))
        with suppress(DecodeError, MalformedError):  # strings that are not UTF-8; scopes of field 1000
            read(signal, body)
            scan(signal, body)
            return body


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([TRACES, LOGS, METRICS]), st.integers(1, 5))
def test_protobuf_finds_every_item_again_at_its_owner(seed: int, signal: int, owners: int) -> None:
    rng = random.Random(seed)
    stages, routing = Stages(owners), random_slots(rng, owners)
    bodies = [valid(rng, signal) for _ in range(rng.randint(1, 3))]
    written = stages.run(signal, bodies, routing)
    judge = Judge(signal, bodies, written, Limits())
    judge.check()
    if any(doc.dropped for doc in judge.docs):
        return  # protobuf does not know the scopes of field 1000, and has not looked at their strings
    before, refused = multiset(signal, bodies), 0
    for key in list(before):
        if signal != METRICS and len(getattr(item_of(signal, key), "trace_id", b"")) not in {0, 16}:
            refused += before.pop(key)
    assert multiset(signal, [part.body for owner in range(owners) for part in written.parts(owner)]) == before
    assert sum(said.refused_items for said in written.tick.outcomes()) == refused
    if signal == TRACES:
        for owner in range(owners):
            for part in written.parts(owner):
                traces = {item.trace_id for _, item in items(read(signal, part.body))}  # type: ignore[attr-defined]
                slots = [slot_of(trace) for trace in traces if any(trace)]
                assert {routing.owners_of(slot)[0] for slot in slots} <= {owner}


def item_of(signal: int, key: Key) -> Message:
    whole = read(signal, field(1, field(2, field(2, key[2]))))
    return next(item for _, item in items(whole))


def spans(*traces: bytes, **fields: str) -> ResourceSpans:
    resource = ResourceSpans()
    resource.resource.attributes.add(key="service.name").value.string_value = "cart"
    for trace in traces:
        resource.scope_spans.add().spans.add(trace_id=trace, span_id=b"12345678", name="GET /", **fields)
    return resource


def request(*resources: ResourceSpans) -> bytes:
    return ExportTraceServiceRequest(resource_spans=resources).SerializeToString()


def trace_for(owner: int, stages: Stages, routing: object, rng: random.Random) -> bytes:
    while True:
        trace = rng.randbytes(16)
        if routing.owners_of(slot_of(trace))[0] == owner:  # type: ignore[attr-defined]
            return trace


# ---- what is copied, and what is written anew


@pytest.mark.parametrize("signal", [TRACES, LOGS, METRICS, PROFILES])
def test_a_request_for_one_owner_goes_as_it_came(signal: int) -> None:
    rng = random.Random(signal)
    stages = Stages(3)
    for turn in range(30):
        body = valid(rng, signal)
        written = stages.run(signal, [body], in_turn(3))
        judge = Judge(signal, [body], written, Limits())
        judge.check()
        [doc] = judge.docs
        got = [part.body for owner in range(3) for part in written.parts(owner)]
        if doc.kept == doc.items > 0 and not doc.dropped:
            assert got == [body], turn
        stages.abandon(written)


def test_unknown_fields_stay_at_every_level() -> None:
    rng = random.Random(1)
    stages, routing = Stages(2), random_slots(rng, 2)
    traces = [trace_for(owner, stages, routing, rng) for owner in (0, 1)]
    unknown = [field(100 + level, b"level %d" % level) for level in range(4)]
    scopes = b"".join(field(2, unknown[2] + field(2, field(1, trace) + unknown[3])) for trace in traces)
    body = unknown[0] + field(1, unknown[1] + scopes)
    written = stages.run(TRACES, [body], routing)
    for owner in (0, 1):
        [part] = written.parts(owner)
        assert all(part.body.count(content) == 1 for content in unknown), part.body


def test_nothing_empty_is_sent() -> None:
    """C10: scopes without spans, resources without scopes, requests without resources."""
    rng = random.Random(2)
    stages, routing = Stages(2), random_slots(rng, 2)
    mine = [trace_for(0, stages, routing, rng) for _ in range(2)]
    other = trace_for(1, stages, routing, rng)
    empty = ResourceSpans()
    empty.scope_spans.add().scope.name = "nobody"
    written = stages.run(TRACES, [request(empty, spans(*mine), empty, spans(other), empty), request(empty)], routing)
    for owner, count in ((0, 2), (1, 1)):
        [part] = written.parts(owner)
        message = read(TRACES, part.body)
        assert [len(scope.spans) for r in message.resource_spans for scope in r.scope_spans] == [1] * count  # type: ignore[attr-defined]
    assert stages.abandon(written)[1].retryable is False


# ---- edits


@pytest.mark.parametrize("owners", [1, 3])
def test_what_is_kept_says_with_what_probability(owners: int) -> None:
    rng = random.Random(owners)
    stages, routing = Stages(owners), random_slots(rng, owners)
    traces = [rng.randbytes(16) for _ in range(200)]
    body = request(spans(*traces[:100]), spans(*traces[100:], trace_state="other=1,ot=rv:ffffffffffffff;x:y"))
    written = stages.run(TRACES, [body], routing, rate=0.25)
    judge = Judge(TRACES, [body], written, Limits())
    judge.check()
    threshold = probability_to_threshold(0.25)
    got = {
        item.trace_id: item.trace_state  # type: ignore[attr-defined]
        for owner in range(owners)
        for part in written.parts(owner)
        for _, item in items(read(TRACES, part.body))
    }
    words = f"th:{threshold_to_text(threshold)}"
    kept = [trace for trace in traces[:100] if int.from_bytes(trace[9:]) >= threshold]
    assert got == dict.fromkeys(kept, f"ot={words}") | dict.fromkeys(
        traces[100:], f"ot={words};rv:ffffffffffffff;x:y,other=1"
    )


def test_an_edit_counts_towards_the_limit_of_a_message() -> None:
    rng = random.Random(3)
    body = request(spans(*[rng.randbytes(15) + b"\xff" for _ in range(100)], trace_state="ot=rv:ffffffffffffff"))
    limits = Limits(message=len(body) + 100)
    stages = Stages(1, limits)
    written = stages.run(TRACES, [body], random_slots(rng, 1), rate=0.9)
    Judge(TRACES, [body], written, limits).check()
    sizes = [len(part.body) for part in written.parts(0)]
    assert len(sizes) > 1
    assert max(sizes) <= limits.message < sum(sizes)


# ---- limits


@pytest.mark.parametrize("limit", [150, 300, 1000, 4000])
def test_a_large_request_becomes_several_parts(limit: int) -> None:
    rng = random.Random(limit)
    limits = Limits(message=limit)
    stages, routing = Stages(3, limits), random_slots(rng, 3)
    body = request(*(spans(*(rng.randbytes(16) for _ in range(rng.randrange(30)))) for _ in range(5)))
    written = stages.run(TRACES, [body], routing)
    judge = Judge(TRACES, [body], written, limits)
    judge.check()
    assert not judge.too_large
    assert max(len(part.body) for owner in range(3) for part in written.parts(owner)) <= limit
    [said] = stages.abandon(written)
    assert said.retryable
    assert stages.in_flight() == 0


def test_an_item_that_is_too_large_is_refused_for_good() -> None:
    rng = random.Random(4)
    limits = Limits(message=1000)
    stages = Stages(1, limits)
    large = spans(rng.randbytes(16))
    large.scope_spans[0].spans[0].name = "x" * 1000
    body = request(spans(rng.randbytes(16)), large, spans(rng.randbytes(16)))
    written = stages.run(TRACES, [body], random_slots(rng, 1))
    judge = Judge(TRACES, [body], written, limits)
    judge.check()
    assert len(judge.too_large) == 1
    [outcome] = written.tick.outcomes()
    assert (outcome.refused_items, outcome.note) == (1, "an item is larger than its backend takes")
    assert [(row.in_flight, row.rejected) for row in stages.books()] == [(2, 1)]


def test_a_request_of_too_large_items_alone() -> None:
    limits = Limits(message=100)
    stages = Stages(1, limits)
    large = spans(b"0123456789abcdef")
    large.scope_spans[0].spans[0].name = "x" * 100
    before = stages.live()
    written = stages.run(TRACES, [request(large)], random_slots(random.Random(5), 1))
    assert written.batches == [[]]
    [said] = stages.abandon(written)
    assert (said.status, said.retryable, said.refused_items) == (8, False, 1)
    del written
    assert stages.live() == before


@pytest.mark.parametrize("size", [-1, 0, 1])
def test_the_largest_item_that_fits(size: int) -> None:
    one = spans(b"0123456789abcdef")
    one.scope_spans[0].spans[0].name = "x" * 300
    body = request(one)
    limits = Limits(message=len(body) + size)
    written = Stages(1, limits).run(TRACES, [body], random_slots(random.Random(6), 1))
    assert [part.body for part in written.parts(0)] == ([body] if size >= 0 else [])


# ---- room


def test_without_room_at_one_owner_nothing_is_written_at_any() -> None:
    rng = random.Random(7)
    stages, routing = Stages(2, Limits(queue=3000)), random_slots(rng, 2)
    before = stages.live()
    filling = request(spans(*(trace_for(0, stages, routing, rng) for _ in range(40))))
    written = stages.run(TRACES, [filling], routing)
    assert len(written.parts(0)) == 1
    held, bytes_held = stages.live(), stages.backends.queued_bytes()
    both = request(spans(*(trace_for(owner, stages, routing, rng) for owner in (0, 1) for _ in range(20))))
    second = stages.run(TRACES, [both], routing)
    [outcome] = second.tick.outcomes()
    assert outcome.retryable
    assert (outcome.ok_items, outcome.refused_items, outcome.note) == (0, 0, "no backend has room for the request")
    assert second.parts(1) == []
    assert len(second.parts(0)) == 1
    assert stages.backends.queued_bytes() == bytes_held
    assert [(row.in_flight, row.rejected) for row in stages.books()] == [(40, 40)]
    only_other = stages.run(TRACES, [request(spans(trace_for(1, stages, routing, rng)))], routing)
    assert len(only_other.parts(1)) == 1, "the owner that has room goes on"
    second.tick.replies()
    del second
    assert stages.live() > held
    stages.abandon(written)
    del written, only_other
    assert stages.live() == before
    assert stages.backends.queued_bytes() == 0


def test_an_empty_queue_takes_a_request_of_any_size() -> None:
    stages = Stages(1, Limits(queue=1))
    written = stages.run(TRACES, [request(spans(b"0123456789abcdef"))] * 2, random_slots(random.Random(8), 1))
    assert [said.retryable for said in written.tick.outcomes()] == [False, True]


def test_without_members_everything_is_turned_away() -> None:
    stages = Stages(1)
    before = stages.live()
    written = stages.run(TRACES, [request(spans(b"0123456789abcdef"))], in_turn(0))
    [said] = stages.abandon(written)
    assert said.retryable
    assert stages.in_flight() == 0
    del written
    assert stages.live() == before


# ---- batches


def test_parts_gather_up_to_the_limits_of_a_batch() -> None:
    rng = random.Random(9)
    body = request(spans(rng.randbytes(16), rng.randbytes(16)))
    for limits, batches in (
        (Limits(batch_items=4), [2, 2, 1]),
        (Limits(batch_bytes=3 * len(body)), [3, 2]),
        (Limits(message=2 * len(body)), [2, 2, 1]),
        (Limits(batch_bytes=1), [1] * 5),
    ):
        stages = Stages(1, limits)
        written = stages.run(TRACES, [body] * 5, random_slots(rng, 1))
        assert [len(batch) for batch in written.batches[0]] == batches
        merged = b"".join(part.body for part in written.parts(0))
        assert multiset(TRACES, [merged]) == multiset(TRACES, [body] * 5), "a batch is a merge"


def test_profiles_are_never_merged() -> None:
    rng = random.Random(10)
    stages = Stages(1)
    bodies = [body for _ in range(40) if Stages(1).run(PROFILES, [body := valid(rng, PROFILES)], in_turn(1)).parts(0)]
    written = stages.run(PROFILES, bodies, in_turn(1))
    assert [[part.body for part in batch] for batch in written.batches[0]] == [[body] for body in bodies]


def test_queued_parts_belong_to_nobody() -> None:
    """`ack: queued`: the client has its OK at once, what is lost later is dropped and not rejected."""
    rng = random.Random(11)
    stages = Stages(2, queued=True)
    written = stages.run(TRACES, [request(spans(*(rng.randbytes(16) for _ in range(9))))], random_slots(rng, 2))
    [said] = written.tick.replies()
    assert (said.status, said.retryable, said.ok_items, said.refused_items) == (0, False, 9, 0)
    assert stages.in_flight() == 9
    assert stages.abandon(written) == []
    [row] = stages.books()
    assert (row.rejected, sum(row.dropped)) == (0, 9)


def test_a_part_that_comes_back_is_not_sampled_and_booked_again() -> None:
    rng = random.Random(12)
    stages, routing = Stages(1), random_slots(rng, 1)
    tick = Tick.of(TRACES, [request(spans(*(rng.randbytes(16) for _ in range(50))))], stages.core)
    tick.mark_judged(0)
    written = stages.finish(TRACES, tick, routing, Sampling(0.1, EVERY_SIGNAL))
    [part] = written.parts(0)
    assert part.items == 50
    assert stages.books() == []
