"""Policy: what the data plane decides by. Never changed, only replaced, at a tick boundary, as one reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sidecar._native.route import Routing
from sidecar.model import Ownership, RoutingStrategy
from sidecar.policy.rules import AreaRule, Fallback, areas_of
from sidecar.ports import Member
from sidecar.routing.area import Area, Numbering
from sidecar.routing.strategy import Mode, Routes
from sidecar.routing.view import View
from sidecar.sampling.plan import SamplingPlan


@dataclass(frozen=True, slots=True, eq=False)
class RoutedArea:
    """An area and what was made of it. The same object goes from policy to policy while nothing about it changes."""

    area: Area
    routes: Routes

    @property
    def region(self) -> str:
        """Its region."""
        return self.area.region

    @property
    def view(self) -> View:
        """Who its members are; numbers in `routes` are places in `view.members`."""
        return self.area.view


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """One generation of decisions. It holds no secret: headers of backends reach a worker with its configuration."""

    generation: int
    """Counts up; a worker acknowledges it."""
    areas: tuple[RoutedArea, ...]
    """The own region first, then those that rules name."""
    numbering: Numbering
    rules: tuple[AreaRule, ...]
    """Which services go to another area than the first; the first rule that fits decides."""
    strategy: RoutingStrategy
    ownership: Ownership
    sampling: SamplingPlan
    effective_in_s: float
    """The notice that a worker gives its change of owners, from receipt."""
    affinity_window_s: float
    """How long a known trace stays with its former owner after that."""

    @property
    def members(self) -> tuple[Member, ...]:
        """Everybody that items go to. Owner numbers are places in this."""
        return self.numbering.members

    @property
    def own(self) -> RoutedArea:
        """The gateway's own region."""
        return self.areas[0]

    @property
    def mode(self) -> Mode:
        """How owners are chosen, in every area."""
        return self.own.routes.mode

    @property
    def fallbacks(self) -> tuple[Fallback, ...]:
        """The rules whose services stay in the own region for now, their own having no healthy member."""
        return tuple(self._fallbacks())

    def _fallbacks(self) -> Iterator[Fallback]:
        for rule in self.rules:
            if rule.area == 0 and rule.region != self.own.region:
                yield Fallback(rule.pattern, rule.region)

    def areas_of(self, services: Sequence[str]) -> list[int]:
        """Which area each service goes to: its place in `areas`."""
        return areas_of(self.rules, services)

    def routing(self, turn: int = 0) -> Routing:
        """What one worker routes by. It borrows the tables of this policy, and keeps them alive.

        turn: where in a sequence to begin, so that workers do not all begin with the same backend. Services are still
        to be sent to their areas (Routing.set_area).
        """
        tables = [area.routes.table for area in self.areas]
        return Routing(tables, places=self.numbering.places, owners=len(self.members), turn=turn)
