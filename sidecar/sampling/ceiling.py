"""The local ceiling: while nobody leads, a gateway keeps no more than its share of what the fleet may keep.

Rates stay those of the last target. Where load has grown since, they keep too much, and the rest is shed.
"""

from __future__ import annotations

from math import inf

from sidecar.config.fleet import GlobalConfig
from sidecar.model import SamplingStrategy
from sidecar.sampling.adaptive import target_of
from sidecar.sampling.cost import even_pace
from sidecar.sampling.cut import FLOOR
from sidecar.sampling.demand import Demand
from sidecar.sampling.fixed import strategy_of
from sidecar.sampling.plan import Observed, SamplingPlan, Shed
from sidecar.sampling.priority import rules_of
from sidecar.sampling.shed import kept_by_class, within


def ceiling(fleet: GlobalConfig, plan: SamplingPlan, observed: Observed, *, share: float) -> Shed:
    """What this gateway sheds on top of its plan.

    observed: what it receives itself. share: its part of what the fleet received while it was surely led (`Share`); it
    stays as it was then, or whoever grows would take from the others. `max_qps` and a budget (spread evenly) are hard.
    The target of `adaptive` gives way to what that could not lower either: pinned rates, and its lower bound.
    """
    return within(kept_by_class(plan, observed), _allowed(fleet, plan, observed, share), FLOOR)


def _allowed(fleet: GlobalConfig, plan: SamplingPlan, observed: Observed, share: float) -> float:
    """Spans per second that this gateway may keep."""
    adaptive = strategy_of(fleet, SamplingStrategy.ADAPTIVE)
    cost = strategy_of(fleet, SamplingStrategy.COST_BASED)
    limits = fleet.rate_limiting
    return min(
        inf
        if adaptive is None
        else max(target_of(adaptive) * share, _least(adaptive.bounds[0], fleet, plan, observed)),
        inf if limits is None or limits.max_qps is None else limits.max_qps * share,
        inf if cost is None else even_pace(cost) * share,
    )


def _least(low: float, fleet: GlobalConfig, plan: SamplingPlan, observed: Observed) -> float:
    """What `adaptive` would keep at its lower bound."""
    rules, least = rules_of(fleet, plan.rate), 0.0
    for name, load in observed.items():
        rate, pinned = plan.of_service(name).rate, rules.entries[rules.place(name)].pinned
        least += Demand.of(load.received, load.arrived).kept(rate if pinned else min(rate, low))
    return least
