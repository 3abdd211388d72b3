"""Short ways to write fleet configurations and loads."""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.config.fleet import GlobalConfig, PriorityRule, RateLimitingConfig, RoutingRule, StrategyConfig
from sidecar.model import Fairness, Priority, SamplingStrategy
from sidecar.sampling.plan import ServiceLoad
from sidecar.sampling.solve import ControllerState, Solution, solve

HOUR_UNIX_S = 1_000_000 * 3600.0
"""A time at which an hour of the wall clock begins."""


def fixed(rate: float) -> StrategyConfig:
    return StrategyConfig(type=SamplingStrategy.FIXED, rate=rate)


def adaptive(
    target_qps: float, min_rate: float | None = None, max_rate: float | None = None, fairness: Fairness | None = None
) -> StrategyConfig:
    return StrategyConfig(
        type=SamplingStrategy.ADAPTIVE,
        target_qps=target_qps,
        min_rate=min_rate,
        max_rate=max_rate,
        fairness=fairness,
    )


def prioritised(*rules: PriorityRule) -> StrategyConfig:
    return StrategyConfig(type=SamplingStrategy.PRIORITY_BASED, rules=rules)


def pin(priority: Priority, rate: float, *services: str) -> PriorityRule:
    return PriorityRule(priority=priority, rate=rate, services=services)


def paced(budget_per_hour: float, per_span: float = 1.0) -> StrategyConfig:
    return StrategyConfig(type=SamplingStrategy.COST_BASED, budget_per_hour=budget_per_hour, per_span=per_span)


def routed(service: str, priority: Priority) -> RoutingRule:
    return RoutingRule(service=service, target_region="eu", priority=priority)


def fleet(
    *strategies: StrategyConfig,
    rate: float | None = None,
    limits: RateLimitingConfig | None = None,
    routes: tuple[RoutingRule, ...] = (),
) -> GlobalConfig:
    return GlobalConfig(sampling_rate=rate, sampling_strategies=strategies, rate_limiting=limits, routing_rules=routes)


def load(received: float, arrived: Mapping[int, float] | None = None, kept: float = 0.0) -> ServiceLoad:
    return ServiceLoad(received=received, arrived=arrived or {}, kept=kept)


def solved(
    config: GlobalConfig,
    observed: Mapping[str, ServiceLoad | float],
    state: ControllerState | None = None,
    *,
    into_hour_s: float = 0.0,
    elapsed_s: float = 2.0,
    default_rate: float = 1.0,
) -> Solution:
    """One solution, for loads that are given by what is received alone where nothing else counts."""
    return solve(
        config,
        default_rate,
        {name: one if isinstance(one, ServiceLoad) else load(one) for name, one in observed.items()},
        state or ControllerState(),
        now_unix_s=HOUR_UNIX_S + into_hour_s,
        elapsed_s=elapsed_s,
    )
