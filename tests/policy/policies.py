"""Policies to test with."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.config.fleet import RoutingRule
from sidecar.config.schema import RoutingConfig
from sidecar.model import Endpoint, Ownership, Priority, RoutingStrategy
from sidecar.policy.compile import compile_policy
from sidecar.policy.policy import Policy, RoutedArea
from sidecar.ports import Member
from sidecar.routing.area import Area
from sidecar.routing.slots import SlotTable
from sidecar.routing.view import View
from sidecar.sampling.plan import SamplingPlan


def members(n: int, first: int = 0) -> tuple[Member, ...]:
    return tuple(Member(f"c{i}", Endpoint("host.example", 4317 + i), 1 + i % 2) for i in range(first, first + n))


def policy(
    who: tuple[Member, ...],
    strategy: RoutingStrategy = RoutingStrategy.CONSISTENT_HASH,
    *,
    ownership: Ownership | None = None,
    generation: int = 1,
    epoch: int = 1,
    down: frozenset[str] = frozenset(),
    sampling: SamplingPlan | None = None,
    previous: Policy | None = None,
    affinity_window_s: float = 30.0,
    effective_in_s: float = 0.0,
    others: Sequence[Area] = (),
    rules: Sequence[RoutingRule] = (),
) -> Policy:
    """A policy of these members, of the region `here`, and of other areas."""
    routing = RoutingConfig(
        strategy=strategy,
        ownership=ownership,
        affinity_window_s=affinity_window_s,
        effective_in_s=effective_in_s,
    )
    areas = (Area("here", View(epoch, who, down)), *others)
    return compile_policy(generation, areas, rules, routing, sampling or SamplingPlan(), previous)


def rule(service: str, region: str, priority: Priority = Priority.NORMAL) -> RoutingRule:
    return RoutingRule(service=service, target_region=region, priority=priority)


def elsewhere(region: str, n: int, first: int = 0, down: frozenset[str] = frozenset()) -> Area:
    """Another region of these members."""
    return Area(region, View(1, members(n, first), down))


def slots_of(policy: Policy, area: int = 0) -> SlotTable:
    """The slot table of an area, which has to be there."""
    slots = policy.areas[area].routes.slots
    assert slots is not None
    return slots


def same(a: Policy, b: Policy) -> bool:
    """Whether two policies decide the same in every case."""

    def values(policy: Policy) -> tuple[object, ...]:
        return (
            *(policy.generation, policy.strategy, policy.ownership, policy.sampling, policy.rules),
            *(policy.effective_in_s, policy.affinity_window_s, policy.members, policy.numbering.places),
            *map(decisions, policy.areas),
        )

    def decisions(one: RoutedArea) -> tuple[object, ...]:
        slots, routes = one.routes.slots, one.routes
        return (
            *(one.area, routes.mode, routes.sequence.tolist(), routes.table.mode, routes.table.owners),
            slots and (slots.primary.tobytes(), slots.after.tobytes(), slots.keys, slots.weights),
        )

    return values(a) == values(b)
