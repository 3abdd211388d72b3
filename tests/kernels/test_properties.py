"""What holds for every input, 200 at a time."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from sidecar._native.sample import Sampling, probability_to_threshold, sample, threshold_to_text
from sidecar._native.scan import Tick
from tests.kernels.check import Bench, edited
from tests.kernels.generate import Maker, case
from tests.kernels.judge import END, Policy
from tests.kernels.otlp import OWNER_NONE, PROFILES, SIGNALS, TRACES
from tests.kernels.spans import request, resource, scanned, span
from tests.kernels.wire import field, fields

BENCH = Bench()
ALL = frozenset({TRACES})
KEEP_ALL = Policy(0)

seeds = st.integers(0, 1 << 32)
probabilities = st.floats(0, 1) | st.sampled_from([0.0, 2**-56, 1 / 256, 0.1, 0.5, 1.0])
thresholds = st.integers(0, END - 1) | st.integers(0, 0xFFFF).map(lambda n: n << 40)
trace_ids = st.binary(min_size=16, max_size=16) | st.sampled_from([b"", bytes(16), b"short"])
members = st.sampled_from(["a=1", "b=2", " ", "", "\ta=1 ", "A=1", "a=", "k@s=v v", "ot=", "ot"])
pairs = st.sampled_from(["th:8", "th:0", "th:fff", "th:", "rv:f0000000000000", "rv:1", "x:y", "x:", ":x", "th:F", ""])
ots = st.lists(pairs, max_size=4).map(lambda found: "ot=" + ";".join(found))
states: SearchStrategy[str] = st.lists(members | ots, max_size=5).map(",".join) | st.text(max_size=12)
sampling_tables = st.builds(
    lambda rate, shed: Policy(probability_to_threshold(rate), shed=[probability_to_threshold(p) for p in shed]),
    probabilities,
    st.lists(probabilities, min_size=4, max_size=4),
)
every = settings(max_examples=200, deadline=None)


def made(seed: int, signal: int) -> bytes:
    maker = Maker(random.Random(seed))
    return maker.encode(maker.request(signal))


def sampled(body: bytes, rate: float) -> Tick:
    tick = scanned(body)
    assert tick is not None
    sample(tick, Sampling(rate, ALL))
    return tick


# ---- scan


@every
@given(st.sampled_from(SIGNALS), st.binary(max_size=60))
def test_any_bytes(signal: int, body: bytes) -> None:
    for wrapped in (body, field(1, body), field(1, field(2, body)), field(1, field(2, field(2, body)))):
        BENCH.check(signal, wrapped, KEEP_ALL)


@every
@given(seeds, sampling_tables)
def test_any_case_of_the_fuzz(seed: int, policy: Policy) -> None:
    BENCH.check(*case(random.Random(seed)), policy)


@every
@given(seeds, seeds, st.sampled_from(SIGNALS))
def test_requests_behind_each_other_are_one(first: int, second: int, signal: int) -> None:
    """As in protobuf, where concatenation merges: batches rest on it."""
    one, two = made(first, signal), made(second, signal)
    a, b, both = rows(one, signal), rows(two, signal), rows(one + two, signal)
    assert both == (None if a is None or b is None else a + b)


def rows(body: bytes, signal: int) -> list[tuple[int, ...]] | None:
    """What does not depend on where an item lies; profiles go by the first resource of all."""
    tick = scanned(body, signal)
    if tick is None:
        return None
    return [
        (0 if signal == PROFILES else row.hash, row.rand, row.end - row.content, row.units, row.owner, row.flags)
        for row in tick.items()
    ]


@every
@given(seeds, st.lists(seeds, max_size=4), st.sampled_from(SIGNALS))
def test_what_was_seen_before_has_no_influence(seed: int, before: list[int], signal: int) -> None:
    """Shapes and resources that are remembered are for speed alone."""
    body = made(seed, signal)
    used = Tick.of(signal, [])
    for other in before:
        used.add(signal, made(other, signal))
        used.add((signal + 1) % 4, made(other, signal))
    used.clear()
    fresh = scanned(body, signal)
    assert used.add(signal, body) == (fresh is not None)
    if fresh is None:
        return
    assert used.items() == fresh.items()
    assert used.frags() == fresh.frags()
    assert [used.service(row.service) for row in used.resources()] == [
        fresh.service(row.service) for row in fresh.resources()
    ]


@every
@given(st.binary(min_size=16, max_size=16), seeds)
def test_the_key_of_a_trace_is_its_id_alone(trace_id: bytes, seed: int) -> None:
    if not any(trace_id):
        return
    found = [
        row
        for body in (request(span(trace_id)), request(span(trace_id, state="a=1"), resource=resource(str(seed))))
        for tick in [scanned(body)]
        if tick is not None
        for row in tick.items()
    ]
    assert len({(row.hash, row.rand) for row in found}) == 1


# ---- sample


@every
@given(trace_ids, states, sampling_tables, st.booleans())
def test_any_tracestate(trace_id: bytes, state: str, policy: Policy, error: bool) -> None:
    rest = field(15, field(3, 2)) if error else b""
    assert BENCH.check(TRACES, request(span(trace_id, state=state, rest=rest), span(trace_id)), policy)
    assert BENCH.check(TRACES, request(field(3, state.encode()) + span(trace_id, state=state)), policy)


@every
@given(st.lists(st.binary(min_size=16, max_size=16), max_size=30), probabilities, probabilities)
def test_what_a_lower_rate_keeps_a_higher_one_keeps_too(ids: list[bytes], a: float, b: float) -> None:
    body = request(*[span(i) for i in ids if any(i)])
    low, high = ([row.owner for row in sampled(body, p).items()] for p in sorted((a, b)))
    assert all(there == OWNER_NONE for here, there in zip(low, high, strict=True) if here == OWNER_NONE)


@every
@given(st.binary(min_size=16, max_size=16), st.integers(1, 9), probabilities)
def test_a_trace_is_kept_or_left_out_whole(trace_id: bytes, count: int, rate: float) -> None:
    if any(trace_id):
        owners = {row.owner for row in sampled(request(*[span(trace_id)] * count), rate).items()}
        assert len(owners) == 1


@every
@given(st.binary(min_size=16, max_size=16), states, probabilities)
def test_a_second_gateway_of_the_same_rate_changes_nothing(trace_id: bytes, state: str, rate: float) -> None:
    body = request(span(trace_id, state=state))
    first = sampled(body, rate)
    if first.items()[0].owner == OWNER_NONE:
        content = edited(first, body, first.items()[0])
        second = sampled(request(content), rate)
        assert second.items()[0].owner == OWNER_NONE
        assert second.items()[0].edit == 0


@every
@given(thresholds, thresholds, st.integers(0, END - 1))
def test_a_threshold_is_never_lowered(came: int, own: int, rand: int) -> None:
    body = request(span(b"\x01" * 9 + rand.to_bytes(7), state=f"ot=th:{threshold_to_text(came)}"))
    tick = scanned(body)
    assert tick is not None
    sampling = Sampling(1, ALL)
    sampling.set_service(tick.resources()[0].service, own)
    kept = sample(tick, sampling)
    told = came if rand >= came else 0  # else it lies
    assert kept == (rand >= max(told, own))
    if kept:
        state = next((f for f in fields(edited(tick, body, tick.items()[0])) if f.number == 3), None)
        content = edited(tick, body, tick.items()[0])
        written = content[state.value : state.end].decode() if state is not None else ""
        wanted = max(told, own)
        assert written.removeprefix("ot=th:") == (threshold_to_text(wanted) if wanted or told or not came else "")


@every
@given(thresholds)
def test_a_threshold_reads_as_it_was_written(threshold: int) -> None:
    text = threshold_to_text(threshold)
    assert int(text.ljust(14, "0"), 16) == threshold
    assert text == "0" or not text.endswith("0")


@every
@given(probabilities, probabilities, st.integers(1, 14))
def test_a_higher_probability_has_no_higher_threshold(a: float, b: float, precision: int) -> None:
    low, high = sorted((a, b))
    assert probability_to_threshold(low, precision) >= probability_to_threshold(high, precision)
