"""What a table costs to fill, and an item to assign. Run: pytest benchmarks/test_routing.py"""

from __future__ import annotations

import os
import random
from array import array

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from sidecar._native.route import LEAST, OWNING, SEQUENCE, Routing, assign
from sidecar._native.sample import Sampling, sample
from sidecar.policy.handover import take_over
from sidecar.policy.shelf import attach, publish
from tests.policy.policies import members as policy_members
from tests.policy.policies import policy
from tests.routing.tables import Table, members
from tests.routing.worker import Worker, trace_ids, traces

REQUESTS, SPANS = 8, 100
ITEMS = REQUESTS * SPANS


@pytest.mark.parametrize("n", [3, 30, 100, 1000])
def test_fill(benchmark: BenchmarkFixture, n: int) -> None:
    benchmark(Table, members(n))


@pytest.mark.parametrize("n", [30, 100, 1000])
def test_refill_when_one_comes(benchmark: BenchmarkFixture, n: int) -> None:
    old = Table(members(n))
    benchmark(Table, members(n + 1), None, old)


def measure_assign(benchmark: BenchmarkFixture, routing: Routing, owners: int, run: int, up: int = 0) -> None:
    """The figure per item is in `extra_info`: a tick of 8 requests with 100 spans each, warm."""
    worker, rng = Worker(owners, range(up, owners)), random.Random(1)
    tick = worker.tick([traces([i for i in trace_ids(rng, SPANS // run) for _ in range(run)]) for _ in range(REQUESTS)])
    for request in range(REQUESTS):
        tick.mark_judged(request)
    nothing = Sampling(1.0, frozenset())

    def undecided() -> tuple[tuple[object, ...], dict[str, object]]:
        sample(tick, nothing)  # of requests that were judged: every item is open again
        return (tick, routing), {}

    benchmark.pedantic(assign, setup=undecided, rounds=2000, warmup_rounds=50)  # type: ignore[no-untyped-call]
    if benchmark.stats is not None:
        benchmark.extra_info["ns_per_item"] = round(benchmark.stats.stats.median * 1e9 / len(tick.items()), 2)


def owning(n: int) -> Routing:
    table = Table(members(n))
    return Routing(OWNING, n, primary=table.primary, after=table.after)


@pytest.mark.parametrize("run", [1, 8])
@pytest.mark.parametrize("n", [3, 100])
def test_assign_to_owners(benchmark: BenchmarkFixture, n: int, run: int) -> None:
    measure_assign(benchmark, owning(n), n, run)


def test_assign_around_one_that_is_down(benchmark: BenchmarkFixture) -> None:
    measure_assign(benchmark, owning(3), 3, run=1, up=1)


@pytest.mark.parametrize("mode", [SEQUENCE, LEAST])
def test_assign_whole_requests(benchmark: BenchmarkFixture, mode: int) -> None:
    measure_assign(benchmark, Routing(mode, 30, sequence=array("H", range(30))), 30, run=1)


@pytest.mark.parametrize("phase", ["announced", "window"])
def test_assign_in_a_transition(benchmark: BenchmarkFixture, phase: str) -> None:
    old, new = owning(3), owning(4)
    new.begin_transition(
        old,
        array("H", range(3)),
        now_ns=0,
        effective_ns=1 << 62 if phase == "announced" else 0,
        window_ns=1 << 62,
        effective_unix_ns=1,
        remember_limit=1 << 17,
    )
    measure_assign(benchmark, new, 4, run=1)


def test_publish_and_attach(benchmark: BenchmarkFixture) -> None:
    made = policy(policy_members(100))

    def round_trip() -> None:
        fd = publish(made)
        attach(fd)
        os.close(fd)

    benchmark(round_trip)


def test_take_over(benchmark: BenchmarkFixture) -> None:
    former, later = policy(policy_members(100)), policy(policy_members(101), generation=2)
    routing = former.routing()
    benchmark(lambda: take_over(later, former, routing, now_ns=0, unix_ns=0))
