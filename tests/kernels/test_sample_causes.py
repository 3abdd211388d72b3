"""What sampling counts: who is charged with what is left out, and what had been sampled before it came."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar._native.core import WorkerCore
from sidecar._native.ledger import ARRIVED, LedgerRow, PageReader, ServiceRow, page_bytes
from sidecar._native.sample import Sampling, probability_to_threshold, sample
from sidecar._native.scan import Tick, scan
from tests.kernels.judge import END, LIMIT, RATE, SHED, UPSTREAM, Asked, halvings, judge, text_of
from tests.kernels.otlp import LOGS, TRACES
from tests.kernels.spans import request, span
from tests.kernels.wire import field

EVERY = frozenset({TRACES, LOGS})
ERROR = field(15, field(3, 2))


def id_with(rand: int) -> bytes:
    return b"\xaa" * 9 + rand.to_bytes(7)


def counted(body: bytes, sampling: Sampling, signal: int = TRACES) -> tuple[LedgerRow, ServiceRow | None]:
    """The books of one request."""
    page = bytearray(page_bytes())
    core, reader = WorkerCore(page, bytearray(16)), PageReader(page)
    tick = Tick.of(signal, [body], core)
    scan(tick, 1 << 40)
    sample(tick, sampling)
    ((row,), spans) = reader.rows(), reader.spans()
    return row, spans[0] if spans else None


def asking(own: float, *, cause: int = RATE, shed: float = 1) -> Sampling:
    sampling = Sampling(1, EVERY)
    sampling.set_service(1, probability_to_threshold(own), 1, cause)
    sampling.set_shed(1, probability_to_threshold(shed))
    return sampling


@pytest.mark.parametrize(
    ("own", "cause", "shed", "state", "charged"),
    [
        (0.25, RATE, 1, None, RATE),
        (0.25, LIMIT, 1, None, LIMIT),
        (0.25, SHED, 1, None, SHED),
        (0.25, RATE, 0.2, None, SHED),
        (0.25, RATE, 0.25, None, RATE),
        (0.25, RATE, 0.5, None, RATE),
        (1, RATE, 0.25, "ot=th:8", SHED),
        (0.5, RATE, 0.3, "ot=th:4", SHED),
        (1, RATE, 0.6, "ot=th:8", UPSTREAM),
        (0.8, RATE, 0.6, "ot=th:8", UPSTREAM),
        (0.5, RATE, 0.6, "ot=th:8", RATE),
        (1, RATE, 0.1, "ot=th:fff", SHED),
        (0, LIMIT, 1, None, LIMIT),
    ],
)
def test_who_is_charged(own: float, cause: int, shed: float, state: str | None, charged: int) -> None:
    """The one with the highest threshold; of equal ones the rate, and upstream last. A th that lies is none."""
    body = request(span(id_with(0x80000000000000), state=state))
    row, _ = counted(body, asking(own, cause=cause, shed=shed))
    assert row.sampled_out == 1
    assert row.causes == tuple(int(number == charged) for number in range(4))


def test_logs_have_causes_too() -> None:
    row, spans = counted(request(field(9, id_with(5))), asking(0.5, cause=LIMIT), LOGS)
    assert (row.causes, spans) == ((0, 1, 0, 0), None)


# ---- what came


@pytest.mark.parametrize(
    ("th", "k"),
    [
        ("0", 0),
        ("4", 0),
        ("5", 1),
        ("8", 1),
        ("a", 1),
        ("a6", 2),
        ("c", 2),
        ("e", 3),
        ("ffff", 16),
        ("fffffffffffff", 16),
    ],
)
def test_what_was_sampled_before_is_counted_by_its_probability(th: str, k: int) -> None:
    _, spans = counted(request(span(id_with(END - 1), state=f"ot=th:{th}")), asking(1))
    assert spans is not None
    assert spans.arrived == tuple(int(number == k) for number in range(1, ARRIVED + 1))


@pytest.mark.parametrize("state", [None, "a=1", "ot=th:c", "ot=th:zz", "ot=th:8,A"])
def test_what_was_not_or_says_it_and_lies_is_not(state: str | None) -> None:
    _, spans = counted(request(span(id_with(0x90000000000000), state=state)), asking(1))
    assert spans is not None
    assert spans.arrived == (0,) * ARRIVED


def test_errors_and_what_is_kept() -> None:
    low, high = id_with(1), id_with(END - 1)
    body = request(span(low), span(high), span(low, rest=ERROR), span(high, rest=ERROR), span(b"short", rest=ERROR))
    for sampling, kept in ((asking(1), 4), (asking(0.5), 2)):
        row, spans = counted(body, sampling)
        assert spans is not None
        assert (spans.received, spans.errors, spans.kept) == (5, 3, kept)
        assert row.received == row.in_flight + row.sampled_out + row.rejected
        assert spans.kept_bytes == len(body) * kept // 5


# ---- every input

thresholds = st.integers(0, END) | st.integers(0, 64).map(lambda n: END - (END >> n))


@settings(max_examples=400, deadline=None)
@given(
    st.builds(Asked, thresholds, thresholds, st.integers(0, 2), st.just(0)),
    st.none() | thresholds.map(lambda t: min(t, END - 1)),
    st.integers(0, END - 1),
    st.booleans(),
)
def test_causes_are_those_of_the_oracle(asked: Asked, came: int | None, rand: int, passed: bool) -> None:
    if came is not None and passed:
        rand = max(rand, came)
    state = None if came is None else f"ot=th:{text_of(came).decode()}"
    sampling = Sampling(1, EVERY)
    sampling.set_service(1, asked.own, 1, asked.cause)
    sampling.set_shed(1, asked.shed)
    row, spans = counted(request(span(id_with(rand), state=state)), sampling)
    verdict = judge(asked, 4, rand, None if state is None else state.encode())
    assert row.in_flight == verdict.kept
    assert row.causes == tuple(int(not verdict.kept and number == verdict.cause) for number in range(4))
    k = 0 if verdict.arrived is None else min(halvings(verdict.arrived), ARRIVED)
    assert spans is not None
    assert spans.arrived == tuple(int(number == k) for number in range(1, ARRIVED + 1))
