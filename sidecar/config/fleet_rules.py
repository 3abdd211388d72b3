"""The rules for a fleet's configuration: what no single value can be blamed for."""

from __future__ import annotations

from collections.abc import Iterator

from sidecar.config.fleet import FleetSections, GlobalConfig, LocalConfig, StrategyConfig
from sidecar.config.rules import Rule, rule
from sidecar.errors import Problem
from sidecar.model import RoutingStrategy, SamplingStrategy

_STRATEGIES = "global.sampling_strategies"
_NEEDED = {
    SamplingStrategy.FIXED: ("rate",),
    SamplingStrategy.ADAPTIVE: ("target_qps",),
    SamplingStrategy.PRIORITY_BASED: ("rules",),
    SamplingStrategy.COST_BASED: ("budget_per_hour", "per_span"),
}
_ALLOWED = {
    **_NEEDED,
    SamplingStrategy.ADAPTIVE: ("min_rate", "max_rate", "target_qps", "fairness"),
}
_OWNERS = {key: type_ for type_, keys in _ALLOWED.items() for key in keys}


def _strategies(config: FleetSections) -> Iterator[tuple[str, StrategyConfig]]:
    for i, strategy in enumerate(_everywhere(config).sampling_strategies):
        yield f"{_STRATEGIES}[{i}]", strategy


def _everywhere(config: FleetSections) -> GlobalConfig:
    return config.everywhere or GlobalConfig()


def _local(config: FleetSections) -> LocalConfig:
    return config.local or LocalConfig()


@rule(*(f"{_STRATEGIES}[].{key}" for key in ("type", *_OWNERS)))
def strategies_have_their_own_keys(config: FleetSections) -> Iterator[Problem]:
    for path, strategy in _strategies(config):
        given = [key for key in _OWNERS if getattr(strategy, key) not in (None, ())]
        for key in given:
            if key not in _ALLOWED[strategy.type]:
                yield Problem(f"{path}.{key}", f"belongs to {_OWNERS[key]}, not to {strategy.type}")
        for key in _NEEDED[strategy.type]:
            if key not in given:
                yield Problem(f"{path}.type", f"is {strategy.type}, which needs {key}")


@rule(f"{_STRATEGIES}[].type")
def strategies_differ(config: FleetSections) -> Iterator[Problem]:
    first: dict[SamplingStrategy, str] = {}
    for path, strategy in _strategies(config):
        if (other := first.setdefault(strategy.type, path)) != path:
            yield Problem(f"{path}.type", f"is {strategy.type}, as that of {other.removeprefix('global.')}")


@rule(f"{_STRATEGIES}[].min_rate", f"{_STRATEGIES}[].max_rate")
def rates_have_room(config: FleetSections) -> Iterator[Problem]:
    for path, strategy in _strategies(config):
        lowest, highest = strategy.bounds
        if lowest > highest:
            blamed, other = ("max", f"min_rate, which is {lowest:g}")
            if strategy.max_rate is None:
                blamed, other = ("min", f"max_rate, which is {highest:g}")
            relation = "below" if blamed == "max" else "above"
            yield Problem(f"{path}.{blamed}_rate", f"is {relation} {other}")


@rule(f"{_STRATEGIES}[].target_qps", f"{_STRATEGIES}[].budget_per_hour")
def targets_keep_something(config: FleetSections) -> Iterator[Problem]:
    for path, strategy in _strategies(config):
        for key in ("target_qps", "budget_per_hour"):
            if getattr(strategy, key) == 0:
                yield Problem(f"{path}.{key}", "is 0: nothing would be kept", "a rate of 0 says so on purpose")


@rule(f"{_STRATEGIES}[].rules[].services", f"{_STRATEGIES}[].rules[].priority")
def services_have_one_rule(config: FleetSections) -> Iterator[Problem]:
    for path, strategy in _strategies(config):
        first: dict[str, str] = {}
        for i, each in enumerate(strategy.rules):
            here = f"rules[{i}]"
            if not each.services and (other := first.setdefault(f"\0{each.priority}", here)) != here:
                yield Problem(f"{path}.{here}.priority", f"is {each.priority} without services, as that of {other}")
            for j, service in enumerate(each.services):
                place = f"{here}.services[{j}]"
                if (other := first.setdefault(service, place)) != place:
                    yield Problem(f"{path}.{place}", f"is {service!r}, which {other} is already")


@rule("global.degradation")
def shedding_can_end(config: FleetSections) -> Iterator[Problem]:
    degradation = _everywhere(config).degradation
    if degradation and degradation.recovery_threshold >= degradation.threshold:
        yield Problem(
            "global.degradation.recovery_threshold",
            f"is {degradation.recovery_threshold:g}, which is not below threshold, {degradation.threshold:g}",
        )


@rule("global.rate_limiting")
def limits_pass_something(config: FleetSections) -> Iterator[Problem]:
    limiting = _everywhere(config).rate_limiting
    for key in ("max_qps", "per_service_limit"):
        if limiting and getattr(limiting, key) == 0:
            yield Problem(f"global.rate_limiting.{key}", "is 0: nothing would pass", "leave it away for no limit")


@rule("global.routing_rules[].service")
def routed_services_differ(config: FleetSections) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for i, each in enumerate(_everywhere(config).routing_rules):
        if (j := first.setdefault(each.service, i)) != i:
            yield Problem(f"global.routing_rules[{i}].service", f"is {each.service!r}, as that of routing_rules[{j}]")


@rule("global.routing")
def something_to_weigh(config: FleetSections) -> Iterator[Problem]:
    routing = _everywhere(config).routing
    weights = (routing.load_weight, routing.latency_weight, routing.capacity_weight) if routing else ()
    if routing and routing.strategy is RoutingStrategy.INTELLIGENT and all(weight == 0 for weight in weights):
        yield Problem(
            "global.routing.load_weight", "is 0, and so are latency_weight and capacity_weight: one must count"
        )


@rule("local.local_routing_preference")
def preferred_differ(config: FleetSections) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for i, name in enumerate(_local(config).local_routing_preference):
        if (j := first.setdefault(name, i)) != i:
            yield Problem(f"local.local_routing_preference[{i}]", f"is {name!r}, as is the one at [{j}]")


@rule("local.retry_policy")
def backoff_grows(config: FleetSections) -> Iterator[Problem]:
    retry = _local(config).retry_policy
    if retry.initial_backoff_s > retry.max_backoff_s:
        yield Problem("local.retry_policy.initial_backoff", "is longer than max_backoff")


@rule("global.routing_rules")
def regions_split_traces(config: FleetSections) -> Iterator[Problem]:
    by_region: dict[str, list[str]] = {}
    for each in _everywhere(config).routing_rules:
        by_region.setdefault(each.target_region, []).append(each.service)
    if len(by_region) > 1:
        told = "; ".join(f"{', '.join(services)} in {region}" for region, services in by_region.items())
        yield Problem(
            "global.routing_rules",
            f"split a trace that touches services of several regions: {told}",
            "send services that call each other to one region",
        )


@rule(_STRATEGIES, "global.sampling_rate")
def sampling_rate_counts(config: FleetSections) -> Iterator[Problem]:
    fixed = any(strategy.type is SamplingStrategy.FIXED for _, strategy in _strategies(config))
    if fixed and _everywhere(config).sampling_rate is not None:
        yield Problem("global.sampling_rate", "is not used: the strategy `fixed` says the rate")


@rule(_STRATEGIES, "global.rate_limiting")
def targets_are_within_limits(config: FleetSections) -> Iterator[Problem]:
    limiting = _everywhere(config).rate_limiting
    most = limiting.max_qps if limiting else None
    for path, strategy in _strategies(config):
        if most is not None and strategy.target_qps is not None and strategy.target_qps > most:
            yield Problem(f"{path}.target_qps", f"is never reached: rate_limiting.max_qps is {most:,.0f}")


@rule("global.rate_limiting")
def services_stay_below_all(config: FleetSections) -> Iterator[Problem]:
    limiting = _everywhere(config).rate_limiting
    if limiting and limiting.max_qps is not None and (limiting.per_service_limit or 0) > limiting.max_qps:
        yield Problem("global.rate_limiting.per_service_limit", "is never reached: it is above max_qps")


RULES: tuple[Rule[FleetSections], ...] = (
    strategies_have_their_own_keys,
    strategies_differ,
    rates_have_room,
    targets_keep_something,
    services_have_one_rule,
    shedding_can_end,
    limits_pass_something,
    routed_services_differ,
    something_to_weigh,
    preferred_differ,
    backoff_grows,
)
ADVICE: tuple[Rule[FleetSections], ...] = (
    regions_split_traces,
    sampling_rate_counts,
    targets_are_within_limits,
    services_stay_below_all,
)
