"""From settled values to a policy: a pure function, run off the loop, that fills only what has changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sidecar.config.fleet import RoutingRule
from sidecar.config.schema import RoutingConfig
from sidecar.model import Ownership
from sidecar.policy.policy import Policy, RoutedArea
from sidecar.policy.rules import settled
from sidecar.routing.area import Area, Numbering, numbered
from sidecar.routing.strategy import routes
from sidecar.sampling.plan import SamplingPlan


def compile_policy(  # noqa: PLR0917  the values of a policy, each of a type of its own
    generation: int,
    areas: Sequence[Area],
    rules: Iterable[RoutingRule],
    routing: RoutingConfig,
    sampling: SamplingPlan,
    previous: Policy | None = None,
) -> Policy:
    """The policy of these values. It does not depend on `previous`, which only saves work.

    areas: the gateway's own region first, then those that rules name and whose views are known. ValueError where they
    have more members together than a policy can number.
    """
    ownership = _ownership_of(routing)
    routed = _routed(areas, routing, ownership, previous)
    healthy = {area.region: number for number, area in enumerate(areas) if number == 0 or area.healthy}
    return Policy(
        generation=generation,
        areas=routed,
        numbering=numbering_of(routed, previous),
        rules=settled(rules, healthy),
        strategy=routing.strategy,
        ownership=ownership,
        sampling=sampling,
        effective_in_s=routing.effective_in_s if ownership is Ownership.TRACE else 0.0,
        affinity_window_s=routing.affinity_window_s,
    )


def fills_nothing(areas: Sequence[Area], routing: RoutingConfig, previous: Policy | None) -> bool:
    """Whether compile_policy has no table to fill: then it takes microseconds, and needs no thread."""
    known = {one.region: one.area for one in previous.areas} if previous else {}
    return _chooses_alike(routing, _ownership_of(routing), previous) and all(
        known.get(area.region) == area for area in areas
    )


def numbering_of(areas: tuple[RoutedArea, ...], previous: Policy | None) -> Numbering:
    """One numbering for the members of all areas: the former one where the areas are the same."""
    if previous is not None and [area.view.members for area in areas] == [one.view.members for one in previous.areas]:
        return previous.numbering
    return numbered([one.area for one in areas])


def _routed(
    areas: Iterable[Area], routing: RoutingConfig, ownership: Ownership, previous: Policy | None
) -> tuple[RoutedArea, ...]:
    """Areas that the previous policy has just so are its own, where the strategy is the same."""
    known = {one.region: one for one in previous.areas} if previous else {}
    alike = _chooses_alike(routing, ownership, previous)
    made = []
    for area in areas:
        former = known.get(area.region)
        if former is not None and alike and former.area == area:
            made.append(former)
        else:
            made.append(
                RoutedArea(area, routes(routing.strategy, ownership, area.view, former.routes if former else None))
            )
    return tuple(made)


def _chooses_alike(routing: RoutingConfig, ownership: Ownership, previous: Policy | None) -> bool:
    return previous is not None and (previous.strategy, previous.ownership) == (routing.strategy, ownership)


def _ownership_of(routing: RoutingConfig) -> Ownership:
    return routing.ownership or routing.strategy.ownerships[0]
