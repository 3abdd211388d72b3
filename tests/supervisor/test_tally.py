import random

import pytest

from sidecar._native.ledger import DROPPED, ServiceRow
from sidecar.model import Signal
from sidecar.snapshot import Histogram
from sidecar.supervisor.observed import Counts
from sidecar.supervisor.tally import (
    backends_of,
    figures_of,
    histogram,
    joined,
    ledger_of,
    observed_of,
    quantile,
    sizes_of,
)
from tests.supervisor.pages import Page, backend_row, bucketed, ledger_row, read, signal_row

# ---- the ledger


def test_no_worker_has_counted_anything() -> None:
    for pages in ((), (Page(), Page())):
        snapshot = ledger_of(read(*pages))
        assert (snapshot.rows, snapshot.totals(), snapshot.difference) == ((), (), 0)


def test_rows_of_workers_are_added_up_by_signal_and_service() -> None:
    one = ledger_row(Signal.TRACES, received=10, forwarded=6, sampled_out=1, rejected=1, dropped={"worker_crash": 1})
    other = ledger_row(Signal.TRACES, received=5, forwarded=2, dropped={"worker_crash": 2, "expired": 1})
    apart = ledger_row(Signal.TRACES, "cart", received=3, forwarded=3)
    logs = ledger_row(Signal.LOGS, received=4, rejected=4)
    snapshot = ledger_of(read(Page([one, logs]), Page([other, apart])))
    assert [(row.signal, row.service) for row in snapshot.rows] == [
        (Signal.TRACES, "cart"),
        (Signal.TRACES, "shop"),
        (Signal.LOGS, "shop"),
    ]
    shop = snapshot.rows[1]
    assert (shop.received, shop.forwarded, shop.sampled_out, shop.rejected, shop.in_flight) == (15, 8, 1, 1, 1)
    assert shop.dropped == {"worker_crash": 3, "expired": 1}, "reasons without a drop are left out"
    assert snapshot.difference == 0
    traces, of_logs = snapshot.totals()
    assert (traces.received, traces.service, of_logs.rejected) == (18, "*", 4)


def test_whatever_the_workers_have_sums_add_up() -> None:
    dice = random.Random(5)

    def some() -> Page:
        rows = []
        for service in dice.sample("abcdef", 4):
            told = {name: dice.randrange(100) for name in ("forwarded", "sampled_out", "rejected")}
            dropped = {reason: dice.randrange(9) for reason in DROPPED}
            received = sum(told.values()) + sum(dropped.values()) + dice.randrange(50)
            rows.append(ledger_row(dice.choice(list(Signal)), service, dropped=dropped, received=received, **told))
        return Page(rows)

    for _ in range(100):
        pages = [some() for _ in range(dice.randrange(5))]
        snapshot = ledger_of(read(*pages))
        assert snapshot.difference == 0
        assert sum(row.received for row in snapshot.rows) == sum(row.received for page in pages for row in page.rows())


def test_what_does_not_add_up_is_shown() -> None:
    """A worker whose sums are wrong is not made right by another one."""
    wrong = ledger_row(Signal.TRACES, received=10, forwarded=4)._replace(in_flight=5)
    assert ledger_of(read(Page([wrong]))).difference == 1


def test_causes_of_all_workers() -> None:
    one = ledger_row(Signal.TRACES, received=10, sampled_out=6)._replace(causes=(1, 2, 3, 0))
    other = ledger_row(Signal.TRACES, "cart", received=5, sampled_out=4)._replace(causes=(0, 0, 0, 4))
    snapshot = ledger_of(read(Page([one, other]), Page([one])))
    assert [row.sampled_out_by for row in snapshot.rows] == [{"upstream": 4}, {"rate": 2, "limit": 4, "shed": 6}]
    assert snapshot.totals()[0].sampled_out_by == {"rate": 2, "limit": 4, "shed": 6, "upstream": 4}


def test_spans_of_services_in_all_workers() -> None:
    arrived = (1, *[0] * 14, 2)
    here = ServiceRow("shop", received=10, errors=1, kept=5, kept_bytes=500, arrived=arrived)
    there = ServiceRow("shop", received=20, errors=3, kept=7, kept_bytes=900, arrived=arrived)
    alone = ServiceRow("cart", received=1, errors=0, kept=1, kept_bytes=9, arrived=(0,) * 16)
    assert observed_of(read(Page(services=[here]), Page(services=[alone, there]))) == {
        "shop": Counts(30, 12, 4, 1400, (2, *[0] * 14, 4)),
        "cart": Counts(1, 1, 0, 9),
    }


# ---- requests


def test_requests_and_refusals() -> None:
    rows = [ledger_row(Signal.TRACES, received=9, requests=2), ledger_row(Signal.LOGS, "cart", received=1, requests=1)]
    traces = signal_row(answered={"ok": 9, "partial": 2, "unavailable": 1, "other": 4})
    logs = signal_row(answered={"ok": 1, "unavailable": 2, "client_gone": 3})
    pages = read(Page(rows, {Signal.TRACES: traces, Signal.LOGS: logs}), Page(rows[:1], {Signal.TRACES: traces}))
    figures = figures_of(pages)
    assert [(one.signal, one.service, one.requests) for one in figures.requests] == [
        (Signal.TRACES, "shop", 4),
        (Signal.LOGS, "cart", 1),
    ]
    refused = {one.error_type: one.requests for one in figures.errors}
    assert refused == {"unavailable": 4, "other": 8, "client_gone": 3}, "ok and partial are no refusals"


def test_oddities_of_all_workers() -> None:
    names = ("forwarded_late", "detoured", "over_limit", "fell_back", "split_by_rules", "tracestate_bad")
    more = ("trace_id_missing", "old_field", "protocol_errors")
    odd = {name: number for number, name in enumerate((*names, *more), 1)}
    figures = figures_of(read(Page(oddities=odd), Page(), Page(oddities=odd)))
    assert {name: getattr(figures, name) for name in odd} == {name: 2 * number for name, number in odd.items()}


def test_durations_by_method() -> None:
    page = Page(figures={Signal.TRACES: signal_row(took_us=[1, 100, 5000]), Signal.LOGS: signal_row(took_us=[7])})
    figures = figures_of(read(page, page))
    assert set(figures.duration_s) == {"TraceService/Export", "LogsService/Export"}, "only what has been called"
    traces = figures.duration_s["TraceService/Export"]
    assert sum(traces.counts) == 6
    assert traces.total == pytest.approx(2 * 5101e-6)
    assert traces.bounds[:3] == pytest.approx((1e-6, 2e-6, 4e-6))
    assert below(traces, 128e-6) == 4


def test_batch_sizes_count_where_they_belong() -> None:
    """512 items are at most 512: whole numbers have whole bounds."""
    page = Page(figures={Signal.TRACES: signal_row(batches=[1, 512]), Signal.METRICS: signal_row(batches=[100, 511])})
    sizes = figures_of(read(page, Page())).batch_items
    assert (sum(sizes.counts), sizes.total) == (4, 1124)
    assert [below(sizes, bound) for bound in (1, 127, 511, 1023)] == [1, 2, 3, 4]
    assert sizes.bounds[:5] == (0, 1, 3, 7, 15)


def test_no_batch_and_no_duration() -> None:
    figures = figures_of(read(Page()))
    assert figures.duration_s == {}
    assert figures.batch_items == Histogram((), (0,), 0.0)


def below(spread: Histogram, bound: float) -> int:
    """How many values the histogram has at or below one of its bounds."""
    (at,) = [i for i, one in enumerate(spread.bounds) if one == pytest.approx(bound)]
    return sum(spread.counts[: at + 1])


@pytest.mark.parametrize("value", [0, 1, 2, 3, 7, 8, 511, 512, 513, 1 << 22, 1 << 40])
def test_a_value_lies_at_or_below_the_bound_of_its_bucket_and_above_the_one_before(value: int) -> None:
    sizes = sizes_of(bucketed([value], 24), value)
    assert len(sizes.counts) == len(sizes.bounds) + 1
    at = sizes.counts.index(1)
    bounds = (-1.0, *sizes.bounds, float("inf"))
    assert bounds[at] < value <= bounds[at + 1]


def test_histograms_are_joined() -> None:
    one, other = histogram((1, 2, 3), 0.5, 7.0), histogram((10, 20, 30), 0.5, 70.0)
    assert one.bounds == (0.5, 1.0)
    assert joined(None, one) is one
    assert joined(one, other) == Histogram((0.5, 1.0), (11, 22, 33), 77.0)
    with pytest.raises(ValueError, match="shorter"):
        joined(one, histogram((1, 2), 0.5, 1.0))


# ---- backends


def test_backends_of_all_workers() -> None:
    here = backend_row(1, items=5, up=True, connects=1, calls=3, in_flight=1, queued_bytes=10, latency_ns=5)
    there = backend_row(1, items=7, up=False, connects=2, calls=4, in_flight=0, queued_bytes=20, latency_ns=3)
    only_here = backend_row(2, up=False, retried=3, rerouted=4, failed_items=6, rejected_items=5)
    found = backends_of(read(Page(peers=[here, only_here]), Page(peers=[there])))
    assert set(found) == {1, 2}
    one = found[1]
    assert (one.up, one.connects, one.calls, one.in_flight, one.queued_bytes) == (1, 3, 7, 1, 30)
    assert one.latency_ns == 5, "the worst"
    assert one.items[Signal.TRACES] == 12
    other = found[2]
    assert (other.up, other.retried, other.rerouted, other.failed_items[Signal.TRACES]) == (0, 3, 4, 6)
    assert other.rejected_items == 5


# ---- quantiles


def test_quantile_of_nothing() -> None:
    assert quantile((), 0.5) == quantile((0, 0, 0), 0.99) == 0.0


@pytest.mark.parametrize(
    ("counts", "q", "found"),
    [
        ((4,), 0.5, 0.5),
        ((0, 4), 1.0, 2.0),
        ((0, 0, 4), 0.5, 3.0),
        ((0, 0, 4), 0.25, 2.5),
        ((0, 0, 1, 1), 0.5, 4.0),
        ((0, 0, 1, 0, 1), 0.75, 12.0),
        ((99, 0, 0, 0, 1), 0.99, 1.0),
        ((99, 0, 0, 0, 1), 0.999, 8 + 8 * 0.9),
    ],
)
def test_quantile_is_linear_within_a_bucket(counts: tuple[int, ...], q: float, found: float) -> None:
    assert quantile(counts, q) == pytest.approx(found)


def test_quantiles_lie_near_the_true_ones() -> None:
    dice = random.Random(9)
    values = sorted(int(dice.lognormvariate(6, 1.5)) for _ in range(5000))
    counts = bucketed(values, 28)
    found = [quantile(counts, q / 100) for q in range(1, 100)]
    assert found == sorted(found)
    for q in range(1, 100):
        true = values[len(values) * q // 100]
        assert true / 2 - 1 <= found[q - 1] <= true * 2 + 1, "the same bucket, or the one beside"
