"""From settled values to a policy: a pure function, run off the loop, that fills only what has changed."""

from __future__ import annotations

from sidecar.config.schema import RoutingConfig, SamplingConfig
from sidecar.model import Ownership
from sidecar.policy.policy import Policy
from sidecar.routing.strategy import routes
from sidecar.routing.view import View


def compile_policy(
    generation: int, view: View, routing: RoutingConfig, sampling: SamplingConfig, previous: Policy | None = None
) -> Policy:
    """The policy of these values. It does not depend on `previous`, which only saves work."""
    ownership = routing.ownership or routing.strategy.ownerships[0]
    made = routes(routing.strategy, ownership, view, previous.routes.slots if previous else None)
    return Policy(
        generation=generation,
        view=view,
        strategy=routing.strategy,
        ownership=ownership,
        routes=made,
        sampling=sampling,
        effective_in_s=routing.effective_in_s if ownership is Ownership.TRACE else 0.0,
        affinity_window_s=routing.affinity_window_s,
    )
