"""What a table costs to fill, and an item to assign. Run: pytest benchmarks/test_routing.py"""

from __future__ import annotations

import itertools
import os
import random
from array import array

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from sidecar._native.route import LEAST, SEQUENCE, Routing, assign
from sidecar._native.route import Table as RouteTable
from sidecar._native.sample import Sampling, sample
from sidecar._native.scan import Tick
from sidecar.policy.handover import take_over
from sidecar.policy.policy import Policy
from sidecar.policy.shelf import Reader, Writer
from sidecar.ports import Member
from sidecar.routing.area import Area
from sidecar.routing.view import View
from sidecar.sampling.plan import SamplingPlan
from tests.policy.policies import members as policy_members
from tests.policy.policies import policy, rule
from tests.routing.tables import Table, members
from tests.routing.worker import Worker, of_services, trace_ids, traces

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
    measure(benchmark, tick, routing)


def measure(benchmark: BenchmarkFixture, tick: Tick, routing: Routing) -> None:
    for request in range(REQUESTS):
        tick.mark_judged(request)
    nothing = Sampling(1.0, frozenset())

    def undecided() -> tuple[tuple[object, ...], dict[str, object]]:
        sample(tick, nothing)  # of requests that were judged: every item is open again
        return (tick, routing), {}

    benchmark.pedantic(assign, setup=undecided, rounds=2000, warmup_rounds=50)  # type: ignore[no-untyped-call]
    if benchmark.stats is not None:
        benchmark.extra_info["ns_per_item"] = round(benchmark.stats.stats.median * 1e9 / len(tick.items()), 2)


@pytest.mark.parametrize("run", [1, 8])
@pytest.mark.parametrize("n", [3, 100])
def test_assign_to_owners(benchmark: BenchmarkFixture, n: int, run: int) -> None:
    measure_assign(benchmark, Table(members(n)).routing(), n, run)


def test_assign_around_one_that_is_down(benchmark: BenchmarkFixture) -> None:
    measure_assign(benchmark, Table(members(3)).routing(), 3, run=1, up=1)


@pytest.mark.parametrize("mode", [SEQUENCE, LEAST])
def test_assign_whole_requests(benchmark: BenchmarkFixture, mode: int) -> None:
    measure_assign(benchmark, Routing([RouteTable(mode, 30, sequence=array("H", range(30)))]), 30, run=1)


@pytest.mark.parametrize("phase", ["announced", "window"])
def test_assign_in_a_transition(benchmark: BenchmarkFixture, phase: str) -> None:
    old, new = Table(members(3)).routing(), Table(members(4)).routing()
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


@pytest.mark.parametrize("services", [1, 10])
def test_assign_to_two_areas(benchmark: BenchmarkFixture, services: int) -> None:
    """Requests of one service, or of ten that take turns."""
    table, rng = Table(members(3)), random.Random(1)
    routing = Routing([table.native()] * 2, places=[array("H", range(3)), array("H", range(3, 6))], owners=6)
    tens = [trace_ids(rng, SPANS // 10) for _ in range(10)]
    shares = [(f"s{i % services + 1}", ids) for i, ids in enumerate(tens)]
    worker = Worker(6)
    tick = worker.tick([of_services(shares)] * REQUESTS)
    for row in tick.resources():
        routing.set_area(row.service, int(tick.service(row.service)[1:]) % 2)
    measure(benchmark, tick, routing)


class Chain:
    """One apply: compiled and sealed by the supervisor, mapped and taken over by a worker."""

    def __init__(self, n: int, regions: int = 1) -> None:
        self.writer, self.reader = Writer(), Reader()
        self.others = [Area(f"region-{i}", View(1, policy_members(n, first=i * n))) for i in range(1, regions)]
        self.members = policy_members(n)
        self.made: Policy | None = None
        self.read: Policy | None = None
        self.generation = 0
        self.apply(self.members, 1.0)

    def apply(self, who: tuple[Member, ...], rate: float) -> None:
        self.generation += 1
        rules = [rule(f"critical-{area.region}-*", area.region) for area in self.others]
        plan = SamplingPlan(rate=rate)
        self.made = policy(
            who, sampling=plan, generation=self.generation, others=self.others, rules=rules, previous=self.made
        )
        head, *tables = self.writer.write(self.made)
        former, self.read = self.read, self.reader.read(head, tables)
        for fd in (head, *tables):
            os.close(fd)
        if former is None:
            self.routing = self.read.routing()
        else:
            self.routing = take_over(self.read, former, self.routing, now_ns=0, unix_ns=0)


@pytest.mark.parametrize(("n", "regions"), [(3, 1), (100, 1), (100, 3)])
def test_apply_thresholds(benchmark: BenchmarkFixture, n: int, regions: int) -> None:
    chain, rates = Chain(n, regions), itertools.cycle([0.1, 0.2, 0.3])
    benchmark(lambda: chain.apply(chain.members, next(rates)))


@pytest.mark.parametrize(("n", "regions"), [(3, 1), (100, 1), (100, 3)])
def test_apply_a_weight(benchmark: BenchmarkFixture, n: int, regions: int) -> None:
    chain, weights = Chain(n, regions), itertools.cycle([1.5, 2.0, 2.5])

    def reweigh() -> None:
        first, *others = chain.members
        chain.apply((msgspec.structs.replace(first, weight=next(weights)), *others), 1.0)

    benchmark(reweigh)


def test_take_over(benchmark: BenchmarkFixture) -> None:
    former, later = policy(policy_members(100)), policy(policy_members(101), generation=2)
    routing = former.routing()
    benchmark(lambda: take_over(later, former, routing, now_ns=0, unix_ns=0))
