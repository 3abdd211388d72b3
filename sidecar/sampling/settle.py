"""What one gateway samples by: the configuration, and over it what the leader tells of load."""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.config.fleet import GlobalConfig
from sidecar.config.schema import SamplingConfig
from sidecar.model import SamplingStrategy
from sidecar.sampling.entry import Entry
from sidecar.sampling.fixed import strategy_of
from sidecar.sampling.glob import EVERYTHING, is_glob
from sidecar.sampling.plan import Cause, Limit, SamplingPlan, ServiceRate, Shed
from sidecar.sampling.priority import rules_of


def plan_of(
    sampling: SamplingConfig,
    fleet: GlobalConfig,
    target_rate: float | None = None,
    target_services: Mapping[str, ServiceRate] | None = None,
    *,
    shed: Shed = Shed(),  # noqa: B008  a frozen value
    limit: Limit = Limit(),  # noqa: B008  as above
) -> SamplingPlan:
    """The plan of a gateway.

    sampling: as settled for this gateway, so its rate is the region's or the fleet's where they have one. target_rate
    and target_services: of the last target, whoever leads now; None and nothing before there was one. A configuration
    acts at once, even while the target is still that of a former one: what no strategy may move now is not moved.
    """
    rules = rules_of(fleet, sampling.rate)
    told = dict(target_services or {})
    if target_rate is not None:
        told[EVERYTHING] = ServiceRate(target_rate)
    seen = {name for name in told if not is_glob(name)} - rules.entries.keys()
    entries = {**{name: rules.entries[rules.place(name)] for name in sorted(seen)}, **rules.entries}
    settled = {name: _settled(fleet, entry, told.get(name), told.get(EVERYTHING)) for name, entry in entries.items()}
    others = settled.pop(EVERYTHING)
    return SamplingPlan(
        rate=others.rate,
        signals=sampling.signals,
        precision=sampling.precision,
        services={name: rate for name, rate in settled.items() if not is_glob(name)},
        patterns=tuple((name, rate) for name, rate in settled.items() if is_glob(name)),
        priority=others.priority,
        shed=shed,
        limit=limit,
    )


def _settled(fleet: GlobalConfig, entry: Entry, told: ServiceRate | None, others: ServiceRate | None) -> ServiceRate:
    """One of its services. told: what the target says of it; others: of all that it does not speak of."""
    lowers = _may_lower(fleet)
    adaptive = strategy_of(fleet, SamplingStrategy.ADAPTIVE)
    if adaptive is not None and not entry.pinned:
        low, high = adaptive.bounds
        wanted = told or others or ServiceRate(high)
        rate, cause = min(max(wanted.rate, 0.0 if lowers else low), high), wanted.cause
    elif told is not None and lowers and told.rate < entry.rate:
        rate, cause = told.rate, told.cause
    else:
        rate, cause = entry.rate, Cause.RATE
    return ServiceRate(rate=rate, priority=entry.priority, cause=cause)


def _may_lower(fleet: GlobalConfig) -> bool:
    """Whether anything may lower even a rate that a rule names."""
    limits = fleet.rate_limiting
    limited = limits is not None and (limits.max_qps is not None or limits.per_service_limit is not None)
    return limited or strategy_of(fleet, SamplingStrategy.COST_BASED) is not None
