"""Smooth weighted round robin, written out as a sequence of bounded length that repeats."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

LIMIT = 4096
"""The longest sequence; longer ones would only be more exact."""


def smooth_sequence(weights: Sequence[float], limit: int = LIMIT) -> array[int]:
    """Numbers of weights (uint16), each as often as its weight has it, and as evenly spread as can be.

    The algorithm is that of nginx's upstreams ("smooth weighted round-robin balancing"): at every step each peer gains
    its weight, the richest is taken and pays the sum of all. A weight of 0 is never taken. What does not come out even
    within `limit` is rounded by largest remainder, at least 1 each.
    """
    taking_part = [number for number, weight in enumerate(weights) if weight > 0]
    shares = _shares([weights[number] for number in taking_part], limit)
    total, wealth = sum(shares), [0] * len(shares)
    sequence = array("H")
    for _ in range(total):
        wealth = [have + share for have, share in zip(wealth, shares, strict=True)]
        richest = wealth.index(max(wealth))
        wealth[richest] -= total
        sequence.append(taking_part[richest])
    return sequence


def _shares(weights: Sequence[float], limit: int) -> list[int]:
    """Small whole numbers in the proportion of the weights, their sum at most `limit` (or the number of weights)."""
    if not weights:
        return []
    ratios = [weight.as_integer_ratio() for weight in weights]
    scale = math.lcm(*(denominator for _, denominator in ratios))
    exact = [numerator * (scale // denominator) for numerator, denominator in ratios]
    divisor = math.gcd(*exact)
    if sum(exact) // divisor <= limit:
        return [share // divisor for share in exact]
    room, total = max(limit, len(exact)), sum(exact)
    shares = [max(1, share * room // total) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda number: -(exact[number] * room % total))
    for number in by_remainder:
        if sum(shares) >= room:
            break
        shares[number] += 1
    while sum(shares) > room:
        shares[shares.index(max(shares))] -= 1
    return shares
