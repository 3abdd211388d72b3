"""`fixed`, and `sampling_rate`: the rates that do not depend on load."""

from __future__ import annotations

from sidecar.config.fleet import GlobalConfig, StrategyConfig
from sidecar.model import SamplingStrategy


def strategy_of(config: GlobalConfig, type_: SamplingStrategy) -> StrategyConfig | None:
    """The strategy of a type, if it is configured; a configuration has at most one of each."""
    return next((strategy for strategy in config.sampling_strategies if strategy.type is type_), None)


def general_rate(config: GlobalConfig, default_rate: float) -> float:
    """The rate of services that no rule speaks of, without regard to load.

    `fixed` says it; under `cost_based` alone everything is kept that the budget has room for; else it is the default.
    """
    fixed = strategy_of(config, SamplingStrategy.FIXED)
    if fixed is not None and fixed.rate is not None:
        return fixed.rate
    paced = strategy_of(config, SamplingStrategy.COST_BASED) is not None
    adaptive = strategy_of(config, SamplingStrategy.ADAPTIVE) is not None
    return 1.0 if paced and not adaptive else default_rate
