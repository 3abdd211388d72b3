"""`intelligent`: weights that follow load, latency and free capacity, slowly enough that traces stay together."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sidecar.config.schema import RoutingConfig
from sidecar.routing.view import quantised

LEAST_WEIGHT = 1 / 16
"""Of the mean: a member in trouble keeps a little, so that its recovery is seen."""
WEIGHT_GRAIN = 1 / 16
"""Weights are rounded to this, so that gateways and leaders write few different ones."""


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """How a member does, as its announcement says."""

    load: float
    """Utilization, 0 to 1 and above."""
    latency_ms: float
    """Mean time of its calls."""
    available: float = 1.0
    """1 - load / capacity: what it could still take; 1 where no capacity is known."""


def score(observed: Observed, routing: RoutingConfig) -> float:
    """From 0 to the sum of the three weights; more is better."""
    return (
        routing.load_weight * (1 - _unit(observed.load))
        + routing.latency_weight / (1 + max(observed.latency_ms, 0.0))
        + routing.capacity_weight * _unit(observed.available)
    )


def weigh(
    observed: Mapping[str, Observed], before: Mapping[str, float], members: frozenset[str], routing: RoutingConfig
) -> dict[str, float]:
    """The weight of every member by name, 1 for one that does as the mean does.

    before: the weights in force. One changes only where it is off by more than the dead band, in relation to what it
    was: ownership moves slowly, and by no more than it must. A member that nothing is known of keeps what it has,
    or gets 1. Only the leader computes this: gateways take the weights from the view.
    """
    scores = {name: score(observed[name], routing) for name in members if name in observed}
    mean = sum(scores.values()) / len(scores) if scores else 0.0
    weights: dict[str, float] = {}
    for name in sorted(members):
        held = before.get(name)
        wanted = _rounded(scores[name] / mean) if name in scores and mean > 0 else held or 1.0
        still_good = held is not None and held > 0 and abs(wanted - held) <= routing.dead_band * held
        weights[name] = held if held is not None and still_good else wanted
    return weights


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _rounded(weight: float) -> float:
    return quantised(max(round(weight / WEIGHT_GRAIN) * WEIGHT_GRAIN, LEAST_WEIGHT))
