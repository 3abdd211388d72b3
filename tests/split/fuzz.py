"""Differential fuzz of split behind scan, sample and assign: `python -m tests.split.fuzz --cases 1000000 --seed 1`.

Every case goes by its own seed, so that a failure is reached at once again; its requests are written to the corpus,
which the tests replay.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

from sidecar._native.route import Routing
from sidecar._native.sample import Sampling, probability_to_threshold
from sidecar._native.scan import Tick
from tests.kernels.generate import case
from tests.split.judge import Judge, readable
from tests.split.stages import EVERY_SIGNAL, Limits, Stages, in_turn, random_slots

CORPUS = Path(__file__).parent / "corpus"
LARGE = 1 << 20
LIMITS = [
    Limits(),
    Limits(message=700),
    Limits(message=200),
    Limits(batch_bytes=300),
    Limits(batch_items=3),
    Limits(queue=900),
]


class Bench:
    """Workers with different limits, and their routings."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.made: list[tuple[Limits, Stages, list[Routing]]] = []
        for limits in LIMITS:
            owners = self.rng.choice([1, 2, 3, 7])
            stages = Stages(owners, limits, queued=self.rng.random() < 0.2)
            slots = [random_slots(self.rng, owners) for _ in range(2)]
            self.made.append((limits, stages, [*slots, in_turn(owners)]))

    def check(self, rng: random.Random, signal: int, bodies: list[bytes]) -> int:
        """The items that were written; AssertionError where something is wrong."""
        limits, stages, routings = rng.choice(self.made)
        before = stages.live()
        tick = Tick.of(signal, bodies, stages.core)
        sampling = Sampling(rng.choice([1.0, 1.0, 0.5, 0.9, rng.random()]), EVERY_SIGNAL)
        for _ in range(rng.choice([0, 0, 2])):
            threshold = probability_to_threshold(rng.random())
            sampling.set_service(rng.randrange(4), threshold, rng.randrange(3))
        over = stages.page.worker().over_limit
        if rng.random() < 0.2:
            per_s, burst, service_per_s, service_burst = (rng.choice([0, 0.5, 100]) for _ in range(4))
            sampling.set_limits(per_s, burst, service_per_s, service_burst, refuse=rng.random() < 0.5)
        written = stages.finish(signal, tick, rng.choice(routings), sampling)
        judge = Judge(signal, bodies, written, limits)
        judge.check()
        refused = stages.page.worker().over_limit > over
        assert not judge.turned_away or refused or limits.queue < LARGE, "there was room"
        if all(readable(signal, body) for body in judge.bodies) and not any(doc.dropped for doc in judge.docs):
            parts = [part for owner in range(stages.owners) for part in written.parts(owner)]
            assert all(readable(signal, part.body) for part in parts), "protobuf refuses what we have written"
        units = judge.units()
        assert stages.in_flight() == units, "in flight is what is in the batches"
        assert len(stages.abandon(written)) == len(bodies), "a request without an answer"
        assert stages.in_flight() == 0
        del written, judge, tick
        assert stages.live() == before, "something is left behind"
        return units


def requests(rng: random.Random) -> tuple[int, list[bytes]]:
    """Some requests of one signal."""
    signal, body = case(rng)
    bodies = [body]
    for _ in range(rng.choice([0, 0, 1, 3])):
        other, body = case(rng)
        if other == signal:
            bodies.append(body)
    return signal, bodies


def write_case(path: Path, signal: int, bodies: list[bytes]) -> None:
    path.write_bytes(bytes([signal]) + b"".join(len(body).to_bytes(4) + body for body in bodies))


def read_case(path: Path) -> tuple[int, list[bytes]]:
    data, bodies = path.read_bytes(), []
    at = 1
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        bodies.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return data[0], bodies


def run(cases: int, seed: int, first: int = 0, *, corpus: Path = CORPUS, report: bool = False) -> int:
    """The number of items that were written; AssertionError, with the case in the corpus, where something is wrong."""
    written = 0
    began = time.monotonic()
    bench = Bench(seed)
    for i in range(first, first + cases):
        rng = random.Random(seed * 1_000_003 + i)
        signal, bodies = requests(rng)
        try:
            written += bench.check(rng, signal, bodies)
        except AssertionError as e:
            path = corpus / f"{seed}-{i}.bin"
            write_case(path, signal, bodies)
            e.add_note(f"seed {seed}, case {i}, written to {path.name}")
            raise
        if report and (i + 1) % 50_000 == 0:
            print(f"{i + 1 - first} cases, {written} items, {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201
    return written


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="where a case that fails is written")
    options = parser.parse_args()
    run(options.cases, options.seed, options.first, corpus=options.corpus, report=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
