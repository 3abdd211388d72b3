import itertools
import random
from collections import Counter

import pytest

from sidecar.routing.smooth import LIMIT, smooth_sequence


def test_the_example_of_nginx() -> None:
    assert list(smooth_sequence([5, 1, 1])) == [0, 0, 1, 0, 2, 0, 0]


@pytest.mark.parametrize(
    ("weights", "sequence"),
    [
        ([], []),
        ([0, 0], []),
        ([3], [0]),
        ([2, 2, 2], [0, 1, 2]),
        ([0, 7, 0, 7], [1, 3]),
        ([0.25, 0.5], [1, 0, 1]),
    ],
)
def test_small_sequences(weights: list[float], sequence: list[int]) -> None:
    assert list(smooth_sequence(weights)) == sequence


@pytest.mark.parametrize("seed", range(5))
def test_everybody_has_its_share_without_bursts(seed: int) -> None:
    weights = [random.Random(seed * 100 + i).randint(1, 9) for i in range(6)]
    sequence = smooth_sequence(weights)
    unit = sum(weights) // len(sequence)
    assert Counter(sequence) == {number: weight // unit for number, weight in enumerate(weights)}
    heaviest = weights.index(max(weights))
    gaps = [place for place, number in enumerate(itertools.chain(sequence, sequence)) if number == heaviest]
    even = sum(weights) / weights[heaviest]
    assert max(later - earlier for earlier, later in itertools.pairwise(gaps)) <= even + 2


@pytest.mark.parametrize("n", [2, 100, 1000])
def test_length_is_bounded_and_shares_stay_close(n: int) -> None:
    rng = random.Random(n)
    weights = [rng.randrange(1, 1 << 18) / 256 for _ in range(n)]
    counted = Counter(smooth_sequence(weights))
    assert sum(counted.values()) <= LIMIT
    for number, weight in enumerate(weights):
        exact = LIMIT * weight / sum(weights)
        assert counted[number] == pytest.approx(exact, abs=1.5) or (exact < 1 and counted[number] == 1)


def test_nobody_is_rounded_away() -> None:
    counted = Counter(smooth_sequence([1e6] + [0.004] * 50, limit=60))
    assert sum(counted.values()) == 60
    assert counted[0] == 10
    assert len(counted) == 51
