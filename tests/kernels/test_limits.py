"""Limits on what is kept: by thresholds, or by refusing requests; the clock is the test's."""

import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar._native.core import WorkerCore
from sidecar._native.ledger import PageReader, page_bytes
from sidecar._native.sample import Sampling, sample
from sidecar._native.scan import ReplyRow, Tick, scan
from tests.kernels.check import edited
from tests.kernels.judge import END, threshold_of
from tests.kernels.otlp import LOGS, OWNER_NONE, OWNER_REJECTED, TRACES
from tests.kernels.ration import Bucket, Limits
from tests.kernels.spans import request, resource
from tests.kernels.wire import LEN, field, fields

LIMIT, SHED = 1, 2
WINDOW_S = 10
Arrival = tuple[float, dict[str, int]]
"""When, and how many spans of each service."""

every = settings(max_examples=200, deadline=None)


class Worker:
    """The kernels of one worker, and its page."""

    def __init__(self, sampling: Sampling, seed: int = 1) -> None:
        page = bytearray(page_bytes())
        self.core = WorkerCore(page, bytearray(16))
        self.page = PageReader(page)
        self.sampling = sampling
        self.dice = random.Random(seed)

    def tick(self, at_s: float, spans: dict[str, int], signal: int = TRACES) -> Tick:
        """One request of each service in a tick; every span is its own trace."""
        self.core.at(1 + round(at_s * 1e9))
        tick = Tick.of(signal, [self.body(name, n, signal) for name, n in spans.items()], self.core)
        scan(tick, 1 << 40)
        sample(tick, self.sampling)
        return tick

    def body(self, name: str, n: int, signal: int = TRACES) -> bytes:
        number = 1 if signal == TRACES else 9
        return request(*[field(number, self.dice.randbytes(16)) for _ in range(n)], resource=resource(name))

    def kept(self, arrivals: Iterable[Arrival]) -> list[tuple[float, int]]:
        """When how many spans were kept."""
        return [(at_s, sum(doc.kept for doc in self.tick(at_s, spans).docs())) for at_s, spans in arrivals]

    def rows(self) -> dict[str, tuple[int, ...]]:
        """Received, in flight, sampled out, rejected; each row adds up."""
        rows = self.page.rows()
        for row in rows:
            assert row.received == row.in_flight + row.sampled_out + row.rejected, row
            assert sum(row.causes) == row.sampled_out
        return {row.service: (row.received, row.in_flight, row.sampled_out, row.rejected) for row in rows}


def limited(
    per_s: float = 0, burst: float = 0, service_per_s: float = 0, service_burst: float = 0, *, refuse: bool = False
) -> Sampling:
    sampling = Sampling(1.0, frozenset({TRACES}))
    sampling.set_limits(per_s, burst, service_per_s, service_burst, refuse)
    return sampling


def steady(per_s: float, every_s: float, seconds: float, name: str = "cart") -> list[Arrival]:
    """Ticks at even distances."""
    ticks = round(seconds / every_s)
    return [(i * every_s, {name: round(per_s * every_s)}) for i in range(ticks)]


def windows(kept: Sequence[tuple[float, int]], seconds: float) -> list[int]:
    """What was kept in each window of WINDOW_S that begins with an arrival."""
    starts = [at_s for at_s, _ in kept if at_s + WINDOW_S <= seconds]
    return [sum(n for at_s, n in kept if start <= at_s < start + WINDOW_S) for start in starts]


# ---- how much is kept


@pytest.mark.parametrize("every_s", [0.004, 0.05])
@pytest.mark.parametrize("overload", [1.25, 5, 40])
def test_a_limit_holds_within_5_percent_over_10_seconds(overload: float, every_s: float) -> None:
    """Whatever the load and the size of the ticks, from the first window on."""
    limit, seconds = 2000.0 if overload < 40 else 400.0, 14
    worker = Worker(limited(limit))
    kept = worker.kept(steady(limit * overload, every_s, seconds))
    assert all(n == pytest.approx(limit * WINDOW_S, rel=0.05) for n in windows(kept, seconds))


def test_bursts_within_the_burst_size_lose_nothing_of_the_limit() -> None:
    """Twice a second what four seconds may keep."""
    limit, seconds = 1000.0, 16
    worker = Worker(limited(limit, burst=limit / 2))
    kept = worker.kept(steady(8 * limit, 0.5, seconds))
    assert all(n == pytest.approx(limit * WINDOW_S, rel=0.05) for n in windows(kept, seconds)[1:])


def test_uneven_arrivals() -> None:
    dice, limit, seconds, at_s = random.Random(5), 1000.0, 14, 0.0
    arrivals: list[Arrival] = []
    while at_s < seconds:
        arrivals.append((at_s, {dice.choice("abc"): dice.choice([1, 1, 10, 100, 700])}))
        at_s += dice.expovariate(60)
    kept = Worker(limited(limit, burst=200)).kept(arrivals)
    assert all(n == pytest.approx(limit * WINDOW_S, rel=0.05) for n in windows(kept, seconds))


def test_below_the_limit_everything_is_kept_as_it_came() -> None:
    worker = Worker(limited(1000, service_per_s=500))
    for at_s, spans in steady(400, 0.05, 3):
        tick = worker.tick(at_s, spans)
        assert all(row.owner == OWNER_NONE and row.edit == 0 for row in tick.items())


def test_the_burst_may_pass_at_once_and_comes_back() -> None:
    worker = Worker(limited(100, burst=300))
    assert worker.kept([(0.0, {"cart": 300})]) == [(0.0, 300)]
    (_, at_once), (_, later) = worker.kept([(0.0, {"cart": 300}), (60.0, {"cart": 300})])
    assert at_once < 60
    assert later == 300


def test_each_service_has_a_limit_of_its_own() -> None:
    worker = Worker(limited(service_per_s=400))
    worker.kept((at_s, {"busy": 100, "quiet": 5}) for at_s, _ in steady(1, 0.02, 10))
    assert worker.rows()["quiet"] == (2500, 2500, 0, 0)
    assert worker.rows()["busy"][1] == pytest.approx(4000, rel=0.05)


def test_services_share_what_all_may_keep() -> None:
    worker = Worker(limited(600, service_per_s=400))
    worker.kept((at_s, {"busy": 100, "other": 100, "third": 100}) for at_s, _ in steady(1, 0.02, 10))
    kept = {name: row[1] for name, row in worker.rows().items()}
    assert sum(kept.values()) == pytest.approx(6000, rel=0.05)
    assert all(n == pytest.approx(2000, rel=0.15) for n in kept.values())


# ---- what it says


def weight(tick: Tick, body: bytes, i: int) -> float:
    """How many spans item i stands for."""
    row = tick.items()[i]
    if row.owner != OWNER_NONE:
        return 0
    content = edited(tick, body, row)
    states = [content[f.value : f.end] for f in fields(content) if (f.number, f.type) == (3, LEN)]
    return END / (END - int(states[0].removeprefix(b"ot=th:").ljust(14, b"0"), 16)) if states else 1


def test_adjusted_counts_stay_true() -> None:
    """What is kept stands for all that came, though the threshold moves with every tick."""
    worker, estimate, variance, total = Worker(limited(500)), 0.0, 0.0, 0
    for i in range(400):
        worker.core.at(1 + i * 10_000_000)
        body = worker.body("cart", 50)
        tick = Tick.of(TRACES, [body], worker.core)
        scan(tick, 1 << 40)
        sample(tick, worker.sampling)
        weights = [weight(tick, body, k) for k in range(50)]
        estimate, total = estimate + sum(weights), total + 50
        variance += sum(w * (w - 1) for w in weights)
    assert abs(estimate - total) < 4 * variance**0.5
    assert worker.rows()["cart"][1] < total / 5


def test_the_limit_is_charged_with_what_it_takes() -> None:
    sampling = limited(100)
    sampling.set_shed(1, 8 << 52)
    worker = Worker(sampling)
    worker.kept(steady(2000, 0.02, 3))
    (row,) = worker.page.rows()
    assert row.causes[LIMIT] > 0.9 * row.sampled_out, "its threshold is the higher one but in the first ticks"
    assert row.causes[SHED] == row.sampled_out - row.causes[LIMIT]


def test_logs_follow_their_traces_and_cost_nothing() -> None:
    sampling = Sampling(1.0, frozenset({TRACES, LOGS}))
    sampling.set_limits(100, 0, 0, 0)
    worker = Worker(sampling)
    worker.kept(steady(5000, 0.02, 2))
    levels = sampling.levels()
    tick = worker.tick(1.98, {"cart": 500}, LOGS)
    assert sampling.levels() == levels
    assert 0 < tick.docs()[0].kept < 60


def test_without_trace_ids_the_limit_still_holds() -> None:
    """They cannot be sampled, so that in the end they are all that is kept, or nothing."""
    worker = Worker(limited(100))
    kept = 0
    for i in range(500):
        worker.core.at(1 + i * 20_000_000)
        tick = Tick.of(TRACES, [request(*[field(5, b"no id")] * 20)], worker.core)
        scan(tick, 1 << 40)
        kept += sample(tick, worker.sampling)
    assert kept <= 100 * (10 + 5)


# ---- against the oracle

ticks = st.lists(
    st.tuples(st.floats(0, 2), st.dictionaries(st.sampled_from("abc"), st.integers(0, 60), min_size=1)), max_size=12
)
numbers = st.sampled_from([0.0, 0.5, 7.0, 40.0, 1000.0])


@every
@given(numbers, numbers, numbers, numbers, ticks)
def test_thresholds_are_those_of_the_buckets(
    per_s: float, burst: float, service_per_s: float, service_burst: float, steps: list[Arrival]
) -> None:
    worker = Worker(limited(per_s, burst, service_per_s, service_burst))
    wanted, now_s = Limits(per_s, burst, service_per_s, service_burst), 0.0
    for pause_s, spans in steps:
        now_s = round(now_s + pause_s, 6)
        thresholds = wanted.ration(now_s, {name: float(n) for name, n in spans.items()})
        tick = worker.tick(now_s, spans)
        for (name, threshold), row in zip(thresholds.items(), tick.resources(), strict=True):
            items = tick.items()[row.item0 : row.item0 + row.items]
            assert [item.owner == OWNER_NONE for item in items] == [item.rand >= threshold for item in items]
            wanted.spend(name, sum(item.owner == OWNER_NONE for item in items))
        levels = worker.sampling.levels()
        assert levels is not None
        assert levels[0] == pytest.approx(wanted.total.level, abs=1e-5)


@every
@given(st.floats(0.1, 1e5), st.floats(-5, 5), st.floats(0.01, 200))
def test_a_batch_is_as_its_items_one_by_one(per_s: float, level: float, n: float) -> None:
    """The closed form of the share, against small steps."""
    bucket = Bucket(per_s, 0)
    bucket.level, items = level * bucket.smooth, n * bucket.smooth
    assert bucket.share(items) == pytest.approx(bucket.share(items, steps=20_000), rel=0.02)


@every
@given(st.floats(0.1, 1e5), st.floats(-60, 5), st.floats(0, 1e4))
def test_a_share_is_a_share_and_falls_with_debt_and_load(per_s: float, level: float, n: float) -> None:
    bucket = Bucket(per_s, 0)
    bucket.level = level * bucket.smooth
    share = bucket.share(n)
    assert 0 <= share <= 1
    assert bucket.share(n * 1.5 + 1) <= share + 1e-9
    bucket.level -= 1
    assert bucket.share(n) <= share + 1e-9


# ---- from policy to policy


def test_buckets_outlive_a_policy() -> None:
    worker = Worker(limited(100, service_per_s=50))
    worker.kept([(0.0, {"cart": 5000})])
    former, worker.sampling = worker.sampling, limited(200, service_per_s=80)
    worker.sampling.follow(former)
    service = worker.core.services().index("cart")
    assert worker.sampling.levels(service) == former.levels(service)
    assert worker.kept([(0.001, {"cart": 100})])[0][1] < 30


def test_what_no_limit_has_counted_is_no_debt() -> None:
    """A limit that comes later begins with a full bucket, whatever was kept under another one."""
    worker = Worker(limited(0, service_per_s=1000))
    worker.kept([(0.1 * i, {"cart": 5000}) for i in range(30)])
    former, worker.sampling = worker.sampling, limited(500)
    worker.sampling.follow(former)
    assert worker.sampling.levels() == (0, 0), "not used yet"


def test_a_policy_without_limits_has_no_buckets() -> None:
    free = Sampling(1.0, frozenset({TRACES}))
    assert free.levels() is None
    free.follow(limited(1))
    later = limited(5)
    later.follow(free)
    assert free.levels() is None
    assert later.levels() == (0, 0)


@pytest.mark.parametrize("numbers", [(-1, 0, 0, 0), (0, -1, 0, 0), (0, 0, float("nan"), 0)])
def test_limits_that_there_are_not(numbers: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        Sampling(1.0, frozenset()).set_limits(*numbers)


# ---- refusing


def answers(tick: Tick) -> list[ReplyRow]:
    return tick.outcomes()


def test_a_request_is_refused_whole_while_there_is_a_debt() -> None:
    worker = Worker(limited(100, burst=50, refuse=True))
    first = worker.tick(0, {"cart": 80})
    assert (first.docs()[0].kept, answers(first)[0].retryable) == (80, False), "a request may begin a debt"
    second = worker.tick(0.1, {"cart": 10})
    (answer,) = answers(second)
    assert answer.retryable
    assert "limit" in answer.note
    assert (answer.ok_items, answer.refused_items) == (0, 0)
    assert second.docs()[0].kept == 0
    assert {row.owner for row in second.items()} == {OWNER_REJECTED}
    assert worker.rows() == {"cart": (90, 80, 0, 10)}
    assert worker.page.worker().over_limit == 10
    assert worker.page.spans()[0].kept == 80
    assert worker.tick(0.31, {"cart": 5}).docs()[0].kept == 5, "30 spans of debt are paid after 0.3 s"


def test_in_a_tick_requests_are_refused_from_the_one_that_finds_a_debt() -> None:
    worker = Worker(limited(service_per_s=100, service_burst=10, refuse=True))
    worker.core.at(1)
    bodies = [worker.body(name, 15) for name in ("cart", "cart", "other", "cart")]
    tick = Tick.of(TRACES, bodies, worker.core)
    scan(tick, 1 << 40)
    sample(tick, worker.sampling)
    assert [doc.kept for doc in tick.docs()] == [15, 0, 15, 0]
    assert [answer.retryable for answer in answers(tick)] == [False, True, False, True]
    assert worker.rows() == {"cart": (45, 15, 0, 30), "other": (15, 15, 0, 0)}


def test_a_request_waits_for_all_of_its_services() -> None:
    worker = Worker(limited(service_per_s=10, service_burst=10, refuse=True))
    worker.kept([(0, {"cart": 30})])
    worker.core.at(1)
    tick = Tick.of(TRACES, [worker.body("other", 1) + worker.body("cart", 1)], worker.core)
    scan(tick, 1 << 40)
    assert sample(tick, worker.sampling) == 0
    assert worker.rows()["other"] == (1, 0, 0, 1)


def test_a_request_without_spans_is_not_refused() -> None:
    worker = Worker(limited(10, refuse=True))
    worker.kept([(0, {"cart": 500})])
    assert [answer.retryable for answer in answers(worker.tick(0, {"cart": 0}))] == [False]


def test_what_was_judged_before_is_not_refused() -> None:
    worker = Worker(limited(10, refuse=True))
    worker.kept([(0, {"cart": 500})])
    tick = Tick.of(TRACES, [worker.body("cart", 5)], worker.core)
    tick.mark_judged(0)
    scan(tick, 1 << 40)
    assert sample(tick, worker.sampling) == 5


def test_refusing_keeps_to_the_limit() -> None:
    limit, seconds = 1000.0, 14
    kept = Worker(limited(limit, burst=100, refuse=True)).kept(steady(5 * limit, 0.02, seconds))
    assert all(n == pytest.approx(limit * WINDOW_S, rel=0.05) for n in windows(kept, seconds))


def test_thresholds_are_written_as_they_are() -> None:
    """The threshold of the oracle is what th says."""
    worker = Worker(limited(200))
    body = worker.body("cart", 400)
    worker.core.at(1)
    tick = Tick.of(TRACES, [body], worker.core)
    scan(tick, 1 << 40)
    sample(tick, worker.sampling)
    threshold = Limits(200, 0, 0, 0).ration(0, {"cart": 400.0})["cart"]
    kept = [i for i, row in enumerate(tick.items()) if row.owner == OWNER_NONE]
    assert threshold == threshold_of(Bucket(200, 0, 10.0).share(400), 4)
    assert {weight(tick, body, i) for i in kept} == {END / (END - threshold)}
