"""Decisions: the vectors of the specification and of the Collector, and what follows from a policy."""

import math
from fractions import Fraction

import pytest

from sidecar._native.sample import Sampling, probability_to_threshold, sample, threshold_to_text
from sidecar._native.scan import Tick
from tests.kernels.check import edited
from tests.kernels.judge import END, text_of, threshold_of
from tests.kernels.otlp import LOGS, METRICS, OWNER_NONE, OWNER_REJECTED, OWNER_SAMPLED_OUT, PROFILES, TRACES
from tests.kernels.spans import TRACE_ID, attribute, request, resource, scanned, span
from tests.kernels.wire import LEN, field, fields

ALL = frozenset({TRACES})
ERROR = field(15, field(3, 2))


def id_with(rand: str) -> bytes:
    """A trace id of which these 14 hex digits are the randomness."""
    return b"\xaa" * 9 + bytes.fromhex(rand)


def judged(body: bytes, sampling: Sampling, signal: int = TRACES) -> Tick:
    tick = scanned(body, signal)
    assert tick is not None
    sample(tick, sampling)
    return tick


def outcome(tick: Tick, body: bytes, i: int = 0) -> tuple[bool, str | None]:
    """Whether item i is kept, and the tracestate that goes out with it."""
    row = tick.items()[i]
    states = [f for f in fields(edited(tick, body, row)) if (f.number, f.type) == (3, LEN)]
    content = edited(tick, body, row)
    return row.owner == OWNER_NONE, content[states[-1].value : states[-1].end].decode() if states else None


def one(rand: str, state: str | None, sampling: Sampling) -> tuple[bool, str | None, int]:
    """Kept, the tracestate, and whether something was wrong with it."""
    body = request(span(id_with(rand), state=state))
    tick = judged(body, sampling)
    return *outcome(tick, body), tick.figures()[2]


def at(p: float, precision: int = 4) -> Sampling:
    return Sampling(p, ALL, precision)


def shedding(p: float, precision: int = 4) -> Sampling:
    """Everything is kept by rate, and shed down to p."""
    sampling = Sampling(1, ALL, precision)
    sampling.set_shed(1, probability_to_threshold(p, precision))
    return sampling


# Randomness, th that came, probability, precision; kept and th when equalizing, the same when in proportion.
VECTORS = [
    ("80000000000000", None, 0.5, 4, True, "8", True, "8"),
    ("80000000000000", None, 0.49, 4, False, None, False, None),
    ("c0000000000000", None, 0.25, 4, True, "c", True, "c"),
    ("b0000000000000", None, 0.25, 4, False, None, False, None),
    ("fd70a3d70a3d71", None, 0.01, 4, True, "fd70a", True, "fd70a"),
    ("fd70a3d70a3d71", None, 0.01, 3, False, None, False, None),
    ("fd70a3d70a3d70", None, 0.01, 14, False, None, False, None),
    ("90000000000000", "80000000000000", 0.5, 4, True, "8", False, None),
    ("c0000000000000", "8", 0.5, 4, True, "8", True, "c"),
    ("ffffffffffffff", "8", 0.25, 4, True, "c", True, "e"),
    ("d0000000000000", "8", 0.4, 6, True, "99999a", True, "cccccd"),
    ("b0000000000000", "8", 0.4, 3, True, "99a", False, None),
    ("ffffffffffffff", "fffc", 2**-14, 4, True, "fffc", True, "fffffff"),
    ("ffffffffffffff", "fffffffffffff8", 0.000625, 4, True, "fffffffffffff8", False, None),
    ("6e6d1a75832a2f", None, 0.57, 4, True, "6e14", True, "6e14"),
    ("6e6d1a75832a2f", None, 0.56, 4, False, None, False, None),
]


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_vectors(vector: tuple[str, str | None, float, int, bool, str | None, bool, str | None]) -> None:
    rand, came, p, precision, kept, th, shed_kept, shed_th = vector
    state = None if came is None else f"ot=th:{came}"
    for sampling, wanted, text in ((at(p, precision), kept, th), (shedding(p, precision), shed_kept, shed_th)):
        was, after, faults = one(rand, state, sampling)
        assert (was, faults) == (wanted, 0)
        if wanted:
            assert after == f"ot=th:{text}"


@pytest.mark.parametrize("sampling", [at(1), shedding(1)])
def test_a_th_that_lies_is_erased(sampling: Sampling) -> None:
    """R is below the threshold that it is said to have passed."""
    assert one("40000000000000", "ot=th:8", sampling) == (True, None, 1)
    assert one("40000000000000", "ot=th:8;x:y,a=1", sampling) == (True, "ot=x:y,a=1", 1)
    assert one("40000000000000", "a=1,ot=th:8", sampling) == (True, "a=1", 1)


def test_a_th_that_lies_does_not_decide() -> None:
    assert one("40000000000000", "ot=th:8", at(0.8)) == (True, "ot=th:3333", 1)
    assert one("40000000000000", "ot=th:8", at(0.5)) == (False, "ot=th:8", 1)


@pytest.mark.parametrize(
    ("count", "texts"),
    [
        (3, ("aab", "aaab", "aaaab")),
        (5, ("ccd", "cccd", "ccccd")),
        (10, ("e66", "e666", "e6666")),
        (100, ("fd71", "fd70a", "fd70a4")),
        (1000, ("ffbe7", "ffbe77", "ffbe76d")),
        (10**4, ("fff972", "fff9724", "fff97247")),
        (10**6, ("ffffef4", "ffffef39", "ffffef391")),
    ],
)
def test_one_in(count: int, texts: tuple[str, ...]) -> None:
    assert tuple(threshold_to_text(probability_to_threshold(1 / count, n)) for n in (3, 4, 5)) == texts


@pytest.mark.parametrize(
    ("text", "p"), [("08", Fraction(31, 32)), ("4", Fraction(3, 4)), ("0", Fraction(1)), ("8", Fraction(1, 2))]
)
def test_texts(text: str, p: Fraction) -> None:
    threshold = probability_to_threshold(float(p))
    assert threshold == END - p * END
    assert threshold_to_text(threshold) == text


@pytest.mark.parametrize("p", [0.99999999, 1 - 2**-53, 2**-56, 1 / 3, 0.1, 1e-15, math.nextafter(2**-56, 1)])
@pytest.mark.parametrize("precision", range(1, 15))
def test_a_threshold_is_near_its_probability(p: float, precision: int) -> None:
    t = probability_to_threshold(p, precision)
    assert t == threshold_of(p, precision)
    assert threshold_to_text(t).encode() == text_of(t)
    rare = min(p, 1 - p)
    assert abs(float(Fraction(END - t, END)) - p) <= rare * 16 ** (1 - precision) + 2**-56


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan, math.inf])
def test_no_probability(p: float) -> None:
    with pytest.raises(ValueError, match="no probability"):
        probability_to_threshold(p)


def test_precision_has_bounds() -> None:
    for precision in (0, 15, -1):
        with pytest.raises(ValueError, match="precision"):
            probability_to_threshold(0.5, precision)
    with pytest.raises(ValueError, match="below"):
        threshold_to_text(END)


def test_nothing_is_kept_at_rate_0() -> None:
    body = request(span(id_with("f" * 14)), field(5, b"no id"), span(state="ot=th:8;rv:ffffffffffffff"))
    tick = judged(body, at(0))
    assert [row.owner for row in tick.items()] == [OWNER_SAMPLED_OUT] * 3
    assert tick.docs()[0].kept == 0


# ---- policy


def test_services_have_their_own_rate() -> None:
    body = request(span(id_with("9" * 14)), resource=resource("cart")) + request(
        span(id_with("9" * 14)), resource=resource("checkout")
    )
    tick = scanned(body)
    assert tick is not None
    sampling = at(0.5)
    sampling.set_service(tick.resources()[1].service, probability_to_threshold(0.25))
    assert sample(tick, sampling) == 1
    assert [outcome(tick, body, i) for i in (0, 1)] == [(True, "ot=th:8"), (False, None)]
    assert tick.row(TRACES, b"cart")[:4] == (1, 1, 0, 0)
    assert tick.row(TRACES, b"checkout")[:4] == (1, 0, 0, 1)


def test_classes_are_shed_apart() -> None:
    half = 8 << 52
    body = b"".join(request(span(id_with("9" * 14)), resource=resource(name)) for name in ("high", "normal", "low"))
    body += request(span(id_with("9" * 14), rest=ERROR), resource=resource("low"))
    for traffic_class, wanted in enumerate(["-nle", "h-le", "hn-e", "hnl-"]):
        tick = scanned(body)
        assert tick is not None
        sampling = at(1)
        for priority, row in enumerate(tick.resources()[:3]):
            sampling.set_service(row.service, 0, priority)
        sampling.set_shed(traffic_class, half + (half >> 1))
        sample(tick, sampling)
        kept = "".join(c if row.owner == OWNER_NONE else "-" for c, row in zip("hnle", tick.items(), strict=True))
        assert kept == wanted


def test_shedding_comes_on_top_of_rates() -> None:
    """A plain maximum of the two would shed nothing of a service whose rate is low already."""
    sampling = Sampling(0.25, ALL)
    sampling.set_shed(1, probability_to_threshold(0.5))
    assert one("d0000000000000", None, sampling) == (False, None, 0)
    assert one("e0000000000000", None, sampling) == (True, "ot=th:e", 0)


def test_two_gateways_in_a_row_are_as_one() -> None:
    for rand in ("80000000000000", "9fffffffffffff", "f0000000000000", "7fffffffffffff"):
        first = one(rand, None, at(0.5))
        if first[0]:
            assert one(rand, first[1], at(0.5)) == first


# ---- randomness


def test_rv_takes_the_place_of_the_trace_id() -> None:
    assert one("00000000000000", "ot=rv:90000000000000", at(0.5)) == (True, "ot=th:8;rv:90000000000000", 0)
    assert one("f" * 14, "ot=rv:10000000000000", at(0.5)) == (False, "ot=rv:10000000000000", 0)


@pytest.mark.parametrize("content", [b"", field(1, bytes(16))])
def test_without_randomness_an_item_is_kept(content: bytes) -> None:
    body = request(content, content + field(3, b"a=1"), content + field(3, b"ot=rv:f0000000000000"))
    tick = judged(body, at(0.5))
    assert [outcome(tick, body, i) for i in range(3)] == [
        (True, None),
        (True, "a=1"),
        (True, "ot=th:8;rv:f0000000000000"),
    ]
    assert tick.figures() == (3, 0, 2)


def test_without_a_decision_randomness_is_not_missed() -> None:
    assert judged(request(b""), at(1)).figures() == (1, 0, 0)


# ---- the books


def test_the_books() -> None:
    low, high, bad = (span(id_with(rand)) for rand in ("1" * 14, "9" * 14, "9" * 12))
    body = request(low, high, bad, low, resource=resource("cart")) + request(low, bad, high, resource=resource("cart"))
    tick = judged(body, at(0.5))
    assert tick.row(TRACES, b"cart") == (7, 2, 0, 3, 2)
    (doc,), (reply,) = tick.docs(), tick.outcomes()
    assert (doc.kept, doc.edited) == (2, 2)
    assert (reply.ok_items, reply.refused_items) == (3, 2)
    assert reply.note == "2 spans with a trace id that is not 16 bytes long"


def test_the_note_names_the_items() -> None:
    tick = judged(request(field(9, b"short")), at(1), LOGS)
    assert tick.outcomes()[0].note == "1 log record with a trace id that is not 16 bytes long"
    assert tick.row(LOGS, b"unknown_service") == (1, 0, 0, 0, 1)


def test_data_points_are_counted() -> None:
    metric = field(7, field(1, b"") * 3)
    tick = judged(request(metric, b"", resource=resource()), Sampling(0.5, frozenset({METRICS})), METRICS)
    assert tick.row(METRICS, b"cart") == (3, 3, 0, 0, 0)
    assert tick.docs()[0].kept == 2


def test_what_was_judged_before_is_let_through() -> None:
    tick = scanned(request(span(id_with("1" * 14), state="ot=th:8")))
    assert tick is not None
    tick.mark_judged(0)
    assert sample(tick, at(0)) == 1
    assert tick.items()[0].owner == OWNER_NONE
    assert tick.row(TRACES, b"unknown_service") == (0, 0, 0, 0, 0)


# ---- signals


def test_only_the_signals_of_the_policy_are_sampled() -> None:
    body = request(field(9, id_with("1" * 14)))
    assert judged(body, at(0.5), LOGS).items()[0].owner == OWNER_NONE
    assert judged(body, Sampling(0.5, frozenset({LOGS})), LOGS).items()[0].owner == OWNER_SAMPLED_OUT
    assert judged(request(span(id_with("1" * 14))), Sampling(0.5, frozenset({LOGS}))).items()[0].owner == OWNER_NONE


def test_log_records_have_no_tracestate() -> None:
    """Field 3 of a log record is its severity."""
    body = request(field(3, b"ot=th:8") + field(9, id_with("f" * 14)))
    tick = judged(body, Sampling(0.5, frozenset({LOGS})), LOGS)
    assert (tick.items()[0].owner, tick.items()[0].edit) == (OWNER_NONE, 0)


def test_log_records_need_not_belong_to_a_trace() -> None:
    tick = judged(request(b"", field(9, bytes(16))), Sampling(0.5, frozenset({LOGS})), LOGS)
    assert [row.owner for row in tick.items()] == [OWNER_NONE] * 2
    assert tick.figures() == (0, 0, 0)


def test_profiles_are_left_alone() -> None:
    tick = judged(request(b""), Sampling(0.5, frozenset({PROFILES})), PROFILES)
    assert tick.items()[0].owner == OWNER_NONE


def test_a_tracestate_is_not_looked_at_where_nothing_is_sampled() -> None:
    body = request(span(id_with("4" * 14), state="ot=th:8"))
    tick = judged(body, Sampling(1, frozenset()))
    assert (outcome(tick, body), tick.figures()[2]) == ((True, "ot=th:8"), 0)


# ---- edits


def test_equal_edits_are_one() -> None:
    body = request(*[span(id_with("9" * 14))] * 5, *[span(id_with("a" * 14), rest=ERROR)] * 5)
    tick = judged(body, at(0.5))
    assert len(tick.edits()) == 1
    assert tick.arena() == field(3, b"ot=th:8")
    assert tick.edits()[0][:2] == (0, 0)


def test_rejected_items_stay_rejected() -> None:
    tick = judged(request(span(b"short"), span(b"short", state="ot=th:8")), at(0))
    assert [row.owner for row in tick.items()] == [OWNER_REJECTED] * 2


def test_a_tracestate_that_comes_twice_is_written_once() -> None:
    body = request(span(TRACE_ID, rest=field(3, b"a=1") + attribute("k", "v"), state="b=2"))
    tick = judged(body, at(0.999))
    row = tick.items()[0]
    assert [f.number for f in fields(edited(tick, body, row))].count(3) == (1 if row.owner == OWNER_NONE else 2)


@pytest.mark.parametrize("what", [(2000, 0, 1), (0, END + 1, 1), (0, 0, 3)])
def test_services_that_there_are_not(what: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no such"):
        at(1).set_service(*what)


def test_classes_that_there_are_not() -> None:
    with pytest.raises(ValueError, match="no such"):
        at(1).set_shed(4, 0)
