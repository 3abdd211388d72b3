"""Differential fuzz of scan and sample: `python -m tests.kernels.fuzz --cases 1000000 --seed 1`.

Every case goes by its own seed, so that a failure is reached at once again.  A request that fails is written to the
corpus, which the tests replay; where to look for one that kills the process is in build/fuzz.
"""

import argparse
import random
import sys
import time
from pathlib import Path

from tests.kernels.check import Bench
from tests.kernels.generate import case
from tests.kernels.judge import END, Policy, threshold_of

CORPUS = Path(__file__).parent / "corpus"
LAST = Path("build/fuzz")
STEP = 1000


def random_policy(rng: random.Random) -> Policy:
    p = rng.choice([1.0, 1.0, 0.5, 0.5, 0.1, rng.random(), 1 / 256, 0.0])
    policy = Policy(threshold_of(p, 4))
    for name in (b"cart", b"checkout", b"unknown_service"):
        if rng.random() < 0.2:
            threshold = rng.choice([0, END, rng.randrange(END), 8 << 52])
            policy.services[name] = (threshold, rng.randrange(3), rng.randrange(3))
    if rng.random() < 0.3:
        policy.shed = [rng.choice([0, 0, 8 << 52, 15 << 52, END]) for _ in range(4)]
    return policy


def run(cases: int, seed: int, first: int = 0, corpus: Path = CORPUS) -> int:
    """The number of requests that were taken; AssertionError, with the case in the corpus, where something differs."""
    bench = Bench()
    taken = 0
    for i in range(first, first + cases):
        rng = random.Random(seed * 1_000_003 + i)
        signal, body = case(rng)
        policy = random_policy(rng)
        try:
            taken += bench.check(signal, body, policy)
        except AssertionError as e:
            path = corpus / f"{seed}-{i}.bin"
            path.write_bytes(bytes([signal]) + body)
            e.add_note(f"seed {seed}, case {i}, {policy}, written to {path.name}")
            raise
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="where a request goes that fails")
    options = parser.parse_args()
    LAST.parent.mkdir(exist_ok=True)
    began = time.monotonic()
    taken, end = 0, options.first + options.cases
    for first in range(options.first, end, STEP):
        LAST.write_text(f"--seed {options.seed} --first {first}\n")
        taken += run(min(STEP, end - first), options.seed, first, options.corpus)
        if (first - options.first) % (50 * STEP) == 0:
            print(f"from {first}: {taken} taken, {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
