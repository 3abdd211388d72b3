"""scan and sample, warm: `pytest benchmarks/test_kernels.py`; ns_per_span is in the extra info.

A tick is 128 KB of requests, as in a worker under load.
"""

from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.payload import request
from sidecar._native.sample import Sampling, sample
from sidecar._native.scan import Tick, scan

TRACES = 0
TICK_BYTES = 128 << 10
PLENTY = 1 << 30
SHAPES = [(spans, per_trace) for spans in (1, 10, 100, 512) for per_trace in (8, 1)]
STATES = ["ot=th:4", "congo=t61rcWkgMzE,ot=rv:f1000000000000;th:4"]


def full_tick(spans: int, per_trace: int, *, varied: bool = False, state: str = "") -> Tick:
    """A tick whose requests have been scanned once."""
    size = len(request(spans, per_trace))
    count = max(1, TICK_BYTES // size)
    tick = Tick.of(TRACES, [request(spans, per_trace, varied=varied, state=state, seed=i) for i in range(count)])
    scan(tick, PLENTY)
    return tick


def measure(benchmark: BenchmarkFixture, tick: Tick, work: Callable[[], object]) -> None:
    spans = len(tick.items())
    benchmark.pedantic(work, setup=tick.again, rounds=2000, warmup_rounds=20)  # type: ignore[no-untyped-call]
    if benchmark.stats is not None:
        benchmark.extra_info["ns_per_span"] = round(benchmark.stats.stats.median / spans * 1e9, 1)


def scan_alone(benchmark: BenchmarkFixture, tick: Tick) -> None:
    measure(benchmark, tick, lambda: scan(tick, PLENTY))


def scan_and_sample(benchmark: BenchmarkFixture, tick: Tick, rate: float) -> None:
    sampling = Sampling(rate, frozenset({TRACES}))

    def both() -> None:
        scan(tick, PLENTY)
        sample(tick, sampling)

    measure(benchmark, tick, both)


@pytest.mark.benchmark(group="scan")
@pytest.mark.parametrize(("spans", "per_trace"), SHAPES)
def test_scan(benchmark: BenchmarkFixture, spans: int, per_trace: int) -> None:
    scan_alone(benchmark, full_tick(spans, per_trace))


@pytest.mark.benchmark(group="scan")
def test_scan_of_spans_that_differ_in_size(benchmark: BenchmarkFixture) -> None:
    scan_alone(benchmark, full_tick(100, 1, varied=True))


@pytest.mark.benchmark(group="scan and sample")
@pytest.mark.parametrize("rate", [1.0, 0.5])
@pytest.mark.parametrize(("spans", "per_trace"), SHAPES)
def test_scan_and_sample(benchmark: BenchmarkFixture, spans: int, per_trace: int, rate: float) -> None:
    scan_and_sample(benchmark, full_tick(spans, per_trace), rate)


@pytest.mark.benchmark(group="scan and sample")
@pytest.mark.parametrize("state", STATES)
def test_spans_that_have_a_tracestate(benchmark: BenchmarkFixture, state: str) -> None:
    scan_and_sample(benchmark, full_tick(100, 8, state=state), 0.5)
