from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.load.ewma import Ewma
from sidecar.load.meter import HISTORY, LONGEST_LATENCY_MS, Meter, Reading
from sidecar.snapshot import Load

BASE = Reading(at_s=0.0, received=0, received_bytes=0)


def steady(meter: Meter, n: int, *, per_s: int = 100, first_s: float = 0.0, **gauges: float) -> None:
    """n readings, one a second, of a constant rate."""
    for i in range(n):
        at_s = first_s + i
        counted = int(at_s * per_s)
        reading = Reading(at_s=at_s, received=counted, received_bytes=counted * 300)
        meter.add(msgspec.structs.replace(reading, **gauges))


# ---- moving averages


def test_the_first_measurement_is_the_average() -> None:
    mean = Ewma(5)
    assert mean.value == 0
    mean.add(7, 0.1)
    assert mean.value == 7


def test_after_tau_most_of_a_step_has_come_through() -> None:
    mean = Ewma(5)
    mean.add(0, 1)
    for _ in range(5):
        mean.add(1, 1)
    assert mean.value == pytest.approx(1 - 0.367879, abs=1e-6)


@settings(max_examples=200)
@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=20), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_missed_tick_changes_nothing(steps_s: list[float], before: float, now: float) -> None:
    """One measurement over the whole time counts like many equal ones over its parts."""
    often, once = Ewma(5), Ewma(5)
    for mean in (often, once):
        mean.add(before, 1)
    for step_s in steps_s:
        often.add(now, step_s)
    once.add(now, sum(steps_s))
    assert once.value == pytest.approx(often.value, rel=1e-9, abs=1e-6)


# ---- rates


def test_one_reading_says_nothing_of_rates() -> None:
    meter = Meter()
    assert meter.load() == Load(confidence=0.5)
    meter.add(msgspec.structs.replace(BASE, received=10**9, memory=0.4))
    assert meter.load() == Load(memory=0.4, confidence=0.5)
    assert meter.history == ()


def test_a_constant_rate() -> None:
    meter = Meter()
    steady(meter, 30, cpu=0.5, memory=0.25, queue=0.125)
    load = meter.load()
    assert (load.qps, load.bytes_per_s) == pytest.approx((100, 30000))
    assert (load.cpu, load.memory, load.queue) == pytest.approx((0.5, 0.25, 0.125))
    assert load.utilization == pytest.approx(0.375)
    assert meter.pressure == pytest.approx(0.5)
    assert (load.forecast, load.confidence) == pytest.approx((0.5, 1))


def test_a_step_comes_through_within_seconds() -> None:
    meter = Meter()
    steady(meter, 30)
    for i in range(1, 16):
        meter.add(Reading(at_s=29.0 + i, received=2900 + 1000 * i, received_bytes=0))
    assert meter.history[-1].qps == 1000
    assert meter.load().qps == pytest.approx(1000, rel=0.06)


def test_a_counter_that_goes_back_is_neither_a_peak_nor_a_pause() -> None:
    meter = Meter()
    steady(meter, 30)
    points = len(meter.history)
    meter.add(Reading(at_s=30.0, received=7, received_bytes=2100))
    assert len(meter.history) == points
    assert meter.load().qps == pytest.approx(100)
    meter.add(Reading(at_s=31.0, received=107, received_bytes=32100))
    assert meter.load().qps == pytest.approx(100)
    assert meter.history[-1].qps == 100


@pytest.mark.parametrize("field", ["received", "received_bytes", "failed"])
def test_any_counter_can_go_back(field: str) -> None:
    meter = Meter()
    high = Reading(at_s=0.0, received=5, received_bytes=5, failed=5)
    meter.add(high)
    meter.add(msgspec.structs.replace(high, at_s=1.0, **{field: 4}))
    assert meter.history == ()


def test_missed_ticks_leave_a_gap_and_the_next_reading_speaks_for_all_of_them() -> None:
    meter = Meter()
    steady(meter, 10)
    meter.add(Reading(at_s=20.0, received=2000, received_bytes=600_000))
    assert [point.at_s for point in meter.history][-2:] == [9.0, 20.0]
    assert meter.history[-1].qps == 100
    assert meter.load().qps == pytest.approx(100)


def test_ticks_that_are_made_up_for_at_once_are_put_together() -> None:
    meter = Meter()
    steady(meter, 10)
    for at_s, received in ((12.0, 1200), (12.001, 1205), (12.1, 1210), (13.0, 1300)):
        meter.add(Reading(at_s=at_s, received=received, received_bytes=received * 300))
    assert [point.qps for point in meter.history][-2:] == [pytest.approx(100), pytest.approx(100)]


def test_ten_minutes_are_remembered() -> None:
    meter = Meter()
    steady(meter, 2 * HISTORY)
    assert len(meter.history) == HISTORY
    assert meter.history[-1].at_s - meter.history[0].at_s == HISTORY - 1
    meter.add(Reading(at_s=5000.0, received=500_000, received_bytes=10**9))
    assert [point.at_s for point in meter.history] == [5000.0]


def test_errors_are_a_share_of_what_came() -> None:
    meter = Meter()
    for i in range(60):
        meter.add(Reading(at_s=float(i), received=100 * i, received_bytes=0, failed=25 * i))
    assert meter.load().error_rate == pytest.approx(0.25)


# ---- latency


def test_little() -> None:
    """50 in the gateway while 100 a second leave it: half a second each."""
    meter = Meter()
    steady(meter, 60, in_flight=50)
    assert meter.load().latency_ms == pytest.approx(500, rel=0.01)


def test_what_is_measured_counts_more_than_a_law() -> None:
    meter = Meter()
    steady(meter, 60, in_flight=50, latency_ms=3.0)
    assert meter.load().latency_ms == 3
    assert meter.history[-1].latency_ms == 3


def test_an_empty_gateway_has_no_latency() -> None:
    meter = Meter()
    steady(meter, 20)
    assert meter.load().latency_ms == 0


def test_when_nothing_leaves_latency_grows_and_is_bounded() -> None:
    meter = Meter()
    steady(meter, 30, in_flight=10)
    seen = []
    for i in range(200):
        meter.add(Reading(at_s=30.0 + i, received=2900 + 100 * i, received_bytes=870_000, in_flight=100 * i + 10))
        seen.append(meter.load().latency_ms)
    assert seen == sorted(seen)
    assert seen[-1] == LONGEST_LATENCY_MS


# ---- what is expected


def test_the_forecast_is_that_of_the_worst() -> None:
    meter = Meter(horizon_s=20)
    for i in range(60):
        meter.add(Reading(at_s=float(i), received=0, received_bytes=0, cpu=0.2, memory=0.3, queue=i / 100))
    load = meter.load()
    assert load.forecast == pytest.approx(0.79, abs=0.02)
    assert load.confidence > 0.8
    assert meter.forecast(lambda point: point.cpu).value == pytest.approx(0.2)
    assert meter.forecast(lambda point: point.queue, horizon_s=0).value == pytest.approx(0.59)
    assert meter.score.forecasts == 39
    assert meter.score.error < meter.score.naive_error, "against the worst as it came"


def test_a_full_gateway_is_not_expected_to_be_fuller() -> None:
    meter = Meter()
    for i in range(60):
        meter.add(Reading(at_s=float(i), received=0, received_bytes=0, cpu=i / 50))
    assert meter.load().forecast == pytest.approx(59 / 50), "it is at 118 % already"
    for i in range(60):
        meter.add(Reading(at_s=60.0 + i, received=0, received_bytes=0, cpu=0.3 + i / 100))
    assert meter.load().forecast == 1


counts = st.integers(0, 10**9)
readings = st.lists(
    st.builds(
        Reading,
        at_s=st.floats(0, 1000),
        received=counts,
        received_bytes=counts,
        failed=counts,
        in_flight=counts,
        queue_bytes=counts,
        queue=st.floats(0, 2),
        cpu=st.floats(0, 2),
        memory=st.floats(0, 2),
        latency_ms=st.none() | st.floats(0, 1e6),
    ),
    max_size=15,
)


@settings(max_examples=200)
@given(readings)
def test_whatever_comes_the_load_makes_sense(given_: list[Reading]) -> None:
    """At any times, with counters that jump: no error, nothing negative, nothing endless."""
    meter = Meter()
    for reading in sorted(given_, key=lambda one: one.at_s):
        meter.add(reading)
    load = meter.load()
    for name in load.__struct_fields__:
        assert 0 <= getattr(load, name) < 1e11, name
    assert load.error_rate <= 1
    assert load.confidence <= 1
    assert all(later.at_s - before.at_s >= 0 for before, later in zip(meter.history, meter.history[1:], strict=False))


@settings(max_examples=200)
@given(st.lists(st.tuples(st.floats(0.25, 30), st.integers(0, 10**6)), min_size=1, max_size=60))
def test_no_span_is_counted_twice_or_not_at_all(steps: list[tuple[float, int]]) -> None:
    """The history, rate times time, is what was received."""
    meter = Meter()
    at_s, received = 0.0, 0
    meter.add(BASE)
    for step_s, count in steps:
        at_s, received = at_s + step_s, received + count
        meter.add(Reading(at_s=at_s, received=received, received_bytes=0))
    edges = [0.0, *(point.at_s for point in meter.history)]
    if at_s <= HISTORY:
        total = sum(point.qps * (point.at_s - edge) for point, edge in zip(meter.history, edges, strict=False))
        assert total == pytest.approx(received, rel=1e-6)
