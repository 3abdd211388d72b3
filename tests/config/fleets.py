"""Configurations of fleets that keep all rules, for property tests."""

from hypothesis import strategies as st

from sidecar.config.fleet import (
    DegradationConfig,
    FleetRouting,
    GlobalConfig,
    LocalBatch,
    LocalConfig,
    PriorityRule,
    RateLimitingConfig,
    RetryPolicy,
    RoutingRule,
    StrategyConfig,
)
from sidecar.model import Fairness, OnLimit, Priority, RoutingStrategy, SamplingStrategy

NAMES = st.sampled_from(["a", "b", "checkout", "no", "1:30", "0x1f", "critical-*", "~", "naïve", "- x", "a: b", "#"])
RATES = st.floats(0, 1).map(lambda rate: round(rate, 9))
QUANTITIES = st.floats(0.001, 1e12)
DURATIONS_S = st.integers(1, 10_000).map(lambda milliseconds: milliseconds / 1000)


def _strategies() -> st.SearchStrategy[tuple[StrategyConfig, ...]]:
    fixed = st.builds(StrategyConfig, type=st.just(SamplingStrategy.FIXED), rate=RATES)
    adaptive = st.builds(
        StrategyConfig,
        type=st.just(SamplingStrategy.ADAPTIVE),
        target_qps=QUANTITIES,
        min_rate=st.one_of(st.none(), st.just(0.01), st.just(0.0)),
        max_rate=st.one_of(st.none(), st.floats(0.01, 1)),
        fairness=st.one_of(st.none(), st.sampled_from(Fairness)),
    )
    rule = st.builds(PriorityRule, priority=st.sampled_from(Priority), rate=RATES)
    named = st.lists(NAMES, min_size=1, max_size=4, unique=True).map(tuple)
    priority = st.builds(
        lambda plain, one, services: StrategyConfig(
            type=SamplingStrategy.PRIORITY_BASED,
            rules=(PriorityRule(priority=one.priority, rate=one.rate, services=services), *plain),
        ),
        st.lists(rule, max_size=3, unique_by=lambda rule: rule.priority),
        rule,
        named,
    )
    cost = st.builds(
        StrategyConfig,
        type=st.just(SamplingStrategy.COST_BASED),
        budget_per_hour=QUANTITIES,
        per_span=st.floats(0, 10),
    )
    one = st.one_of(fixed, adaptive, priority, cost)
    return st.lists(one, max_size=4, unique_by=lambda strategy: strategy.type).map(tuple)


def globals_() -> st.SearchStrategy[GlobalConfig]:
    """Of all that they can have."""
    degradation = st.builds(
        DegradationConfig,
        enabled=st.booleans(),
        threshold=st.floats(0.5, 1),
        target_rate=RATES,
        recovery_threshold=st.floats(0, 0.49),
        min_hold_s=DURATIONS_S,
    )
    limiting = st.builds(
        RateLimitingConfig,
        max_qps=st.one_of(st.none(), QUANTITIES),
        burst_size=QUANTITIES,
        per_service_limit=st.one_of(st.none(), QUANTITIES),
        on_limit=st.sampled_from(OnLimit),
    )
    rules = st.builds(
        RoutingRule, service=NAMES, target_region=st.sampled_from(["eu", "us-1"]), priority=st.sampled_from(Priority)
    )
    routing = st.builds(
        FleetRouting,
        strategy=st.one_of(st.none(), st.sampled_from(RoutingStrategy)),
        load_weight=st.one_of(st.none(), st.floats(0.01, 1)),
        latency_weight=st.one_of(st.none(), RATES),
        capacity_weight=st.one_of(st.none(), RATES),
    )
    return st.builds(
        GlobalConfig,
        version=st.one_of(st.none(), st.integers(0, 2**53)),
        sampling_rate=st.one_of(st.none(), RATES),
        sampling_strategies=_strategies(),
        degradation=st.one_of(st.none(), degradation),
        rate_limiting=st.one_of(st.none(), limiting),
        routing_rules=st.lists(rules, max_size=3, unique_by=lambda rule: rule.service).map(tuple),
        routing=st.one_of(st.none(), routing),
    )


def locals_() -> st.SearchStrategy[LocalConfig]:
    """Of all that they can have."""
    return st.builds(
        LocalConfig,
        version=st.one_of(st.none(), st.integers(0, 2**53)),
        regional_sampling_rate=st.one_of(st.none(), RATES),
        local_routing_preference=st.lists(st.sampled_from("abc"), max_size=3, unique=True).map(tuple),
        buffer_size=st.integers(1, 10**9),
        batch_config=st.builds(LocalBatch, max_items=st.integers(1, 10**7), max_wait_s=DURATIONS_S),
        retry_policy=st.builds(
            RetryPolicy,
            max_attempts=st.integers(1, 100),
            initial_backoff_s=DURATIONS_S.filter(lambda backoff_s: backoff_s <= 1),
            max_backoff_s=DURATIONS_S.map(lambda backoff_s: backoff_s + 1),
        ),
    )
