"""Scenario: requests that nobody would send. Guarantees: what is written for backends is what split owes them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.split import fuzz


def test_random_requests() -> None:
    """Beside the 20,000 of the kernels, which are the first two stages here."""
    assert fuzz.run(5_000, seed=20_261_124) > 10_000


@pytest.mark.parametrize("path", sorted(fuzz.CORPUS.glob("*.bin")), ids=lambda path: path.stem)
def test_what_has_failed_once(path: Path) -> None:
    signal, bodies = fuzz.read_case(path)
    bench = fuzz.Bench(0)
    for seed in range(20):
        bench.check(random.Random(seed), signal, bodies)


def test_a_case_survives_the_corpus(tmp_path: Path) -> None:
    path = tmp_path / "case.bin"
    fuzz.write_case(path, 2, [b"", b"abc", bytes(300)])
    assert fuzz.read_case(path) == (2, [b"", b"abc", bytes(300)])


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_million_requests() -> None:
    fuzz.run(1_000_000, seed=1)
