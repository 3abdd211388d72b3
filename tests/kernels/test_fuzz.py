import os
from pathlib import Path

import pytest

from tests.kernels.check import Bench
from tests.kernels.fuzz import CORPUS, run
from tests.kernels.judge import END, Policy

CASES = 20_000
PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_fuzz(part: int) -> None:
    """Seed 1, the same each time; 60 of 100 requests are well formed."""
    each = CASES // PARTS
    assert run(each, seed=1, first=part * each) > each // 2


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.bin")), ids=lambda path: path.stem)
def test_corpus(path: Path) -> None:
    """What once went wrong."""
    found = path.read_bytes()
    for threshold in (0, 8 << 52, END):
        Bench().check(found[0], found[1:], Policy(threshold))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(10))
def test_long_fuzz(part: int) -> None:
    """A million cases of another seed each time; a failure names it."""
    seed = int(os.environ.get("SPANGATE_FUZZ_SEED", "0")) or int.from_bytes(os.urandom(3))
    assert run(100_000, seed, first=part * 100_000) > 50_000
