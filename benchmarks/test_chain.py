"""scan + sample + assign + split over three backends, warm: what the gateway's own code costs per span.

`pytest benchmarks/test_chain.py`; ns_per_span is in the extra info. A tick is 128 KB of requests, as under load.
"""

import random

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.payload import request
from sidecar._native.route import assign
from sidecar._native.sample import Sampling, sample
from sidecar._native.scan import Tick, scan
from sidecar._native.split import split
from tests.split.stages import EVERY_SIGNAL, Limits, Stages, random_slots

TRACES = 0
TICK_BYTES = 128 << 10
PLENTY = 1 << 30
OWNERS = 3


@pytest.mark.parametrize("rate", [1.0, 0.5])
@pytest.mark.parametrize("per_trace", [8, 1])
@pytest.mark.parametrize("spans", [1, 10, 100, 512])
def test_chain(benchmark: BenchmarkFixture, spans: int, per_trace: int, rate: float) -> None:
    """Unedited at rate 1; at 0.5 every kept span gets its `ot=th`."""
    stages = Stages(OWNERS, Limits(queue=1 << 30))
    routing = random_slots(random.Random(7), OWNERS)
    sampling = Sampling(rate, EVERY_SIGNAL)
    count = max(1, TICK_BYTES // len(request(spans, per_trace)))
    bodies = [request(spans, per_trace, seed=i) for i in range(count)]

    def fresh() -> tuple[tuple[Tick], dict[str, object]]:
        stages.outbox.abandon()
        return (Tick.of(TRACES, bodies, stages.core),), {}

    def chain(tick: Tick) -> None:
        scan(tick, PLENTY)
        sample(tick, sampling)
        assign(tick, routing)
        split(tick)

    benchmark.pedantic(chain, setup=fresh, rounds=1000, warmup_rounds=50)  # type: ignore[no-untyped-call]
    stages.outbox.abandon()
    if benchmark.stats is not None:
        benchmark.extra_info["ns_per_span"] = round(benchmark.stats.stats.median / (spans * count) * 1e9, 1)
