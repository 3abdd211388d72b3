"""Policies to test with."""

from __future__ import annotations

from sidecar.config.schema import RoutingConfig, SamplingConfig
from sidecar.model import Endpoint, Ownership, RoutingStrategy
from sidecar.policy.compile import compile_policy
from sidecar.policy.policy import Policy
from sidecar.ports import Member
from sidecar.routing.view import View


def members(n: int, first: int = 0) -> tuple[Member, ...]:
    return tuple(Member(f"c{i}", Endpoint("host.example", 4317 + i), 1 + i % 2) for i in range(first, first + n))


def policy(
    who: tuple[Member, ...],
    strategy: RoutingStrategy = RoutingStrategy.CONSISTENT_HASH,
    *,
    ownership: Ownership | None = None,
    generation: int = 1,
    sampling: SamplingConfig | None = None,
    previous: Policy | None = None,
    affinity_window_s: float = 30.0,
    effective_in_s: float = 0.0,
) -> Policy:
    routing = RoutingConfig(
        strategy=strategy,
        ownership=ownership,
        affinity_window_s=affinity_window_s,
        effective_in_s=effective_in_s,
    )
    return compile_policy(generation, View(generation, who), routing, sampling or SamplingConfig(), previous)


def same(a: Policy, b: Policy) -> bool:
    """Whether two policies decide the same in every case."""

    def values(policy: Policy) -> tuple[object, ...]:
        slots = policy.routes.slots
        return (
            *(policy.generation, policy.view, policy.strategy, policy.ownership, policy.sampling),
            *(policy.effective_in_s, policy.affinity_window_s, policy.routes.mode, policy.routes.sequence.tolist()),
            slots and (slots.primary.tobytes(), slots.after.tobytes(), slots.keys, slots.weights),
        )

    return values(a) == values(b)
