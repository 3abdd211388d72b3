"""Weights that follow the workers' own figures: what `intelligent` routes by without a fleet."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sidecar.config.schema import RoutingConfig
from sidecar.ports import Member
from sidecar.routing.intelligent import Observed, weigh


class LiveWeights:
    """The factor of every member, 1 until something is known."""

    def __init__(self) -> None:
        self._factors: dict[str, float] = {}

    def observe(self, observed: Mapping[str, Observed], routing: RoutingConfig) -> bool:
        """Takes new observations by name; whether any weight leaves its dead band."""
        factors = weigh(observed, self._factors, frozenset(observed), routing)
        changed = any(factors[name] != self._factors.get(name, 1.0) for name in factors)
        self._factors = factors
        return changed

    def apply(self, members: tuple[Member, ...]) -> tuple[Member, ...]:
        """The members with their configured weight times the factor."""
        return tuple(
            msgspec.structs.replace(member, weight=member.weight * self._factors.get(member.name, 1.0))
            for member in members
        )
