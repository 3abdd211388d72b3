"""Policy: what the data plane decides by. Never changed, only replaced, at a tick boundary, as one reference."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar._native.route import Routing
from sidecar.config.schema import SamplingConfig
from sidecar.model import Ownership, RoutingStrategy
from sidecar.routing.strategy import Routes
from sidecar.routing.view import View


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """One generation of decisions. It holds no secret: headers of backends reach a worker with its configuration."""

    generation: int
    """Counts up; a worker acknowledges it."""
    view: View
    """Owner numbers are places in `view.members`."""
    strategy: RoutingStrategy
    ownership: Ownership
    routes: Routes
    sampling: SamplingConfig
    effective_in_s: float
    """The notice that a worker gives its change of owners, from receipt."""
    affinity_window_s: float
    """How long a known trace stays with its former owner after that."""

    def routing(self, turn: int = 0) -> Routing:
        """What one worker routes by. It borrows the tables of this policy, and keeps them alive.

        turn: where in a sequence to begin, so that workers do not all begin with the same backend.
        """
        slots, sequence = self.routes.slots, self.routes.sequence
        if slots is None:
            return Routing(self.routes.mode, len(self.view.members), sequence=sequence, turn=turn)
        return Routing(self.routes.mode, len(self.view.members), primary=slots.primary, after=slots.after)
