"""What holds for every configuration and every load."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config.fleet import GlobalConfig, RateLimitingConfig, StrategyConfig
from sidecar.config.schema import SamplingConfig
from sidecar.model import Fairness, Priority
from sidecar.sampling.cut import cut
from sidecar.sampling.demand import Demand
from sidecar.sampling.entry import Entry, kept
from sidecar.sampling.plan import Cause, ServiceLoad
from sidecar.sampling.settle import plan_of
from sidecar.sampling.solve import ControllerState, Solution
from tests.sampling.configs import adaptive, fixed, fleet, load, paced, pin, prioritised, routed, solved

NAMES = ("payment", "batch-1", "debug", "cart", "shop", "_other")
RATES = st.floats(0, 1)
QPS = st.floats(1, 1e6)
SPANS = st.one_of(st.just(0.0), st.floats(0.01, 1e6))
EXACT = 1 + 1e-6


@st.composite
def loads(draw: st.DrawFn) -> ServiceLoad:
    received = draw(SPANS)
    parts = draw(st.dictionaries(st.integers(1, 12), st.floats(0, 0.3), max_size=3))
    return load(received, {k: received * part for k, part in parts.items()})


OBSERVED = st.dictionaries(st.sampled_from(NAMES), loads(), max_size=6)
RULES = st.builds(
    lambda *chosen: prioritised(*[rule for rule in chosen if rule]),
    st.none() | st.builds(lambda rate: pin(Priority.HIGH, rate, "payment"), RATES),
    st.none() | st.builds(lambda rate: pin(Priority.LOW, rate, "deb*"), RATES),
    st.none() | st.builds(lambda rate: pin(Priority.LOW, rate), RATES),
    st.none() | st.builds(lambda rate: pin(Priority.NORMAL, rate), RATES),
)
ADAPTIVE = st.builds(
    lambda target, ends, fairness: adaptive(target, min(ends), max(ends), fairness),
    QPS,
    st.tuples(RATES, RATES),
    st.sampled_from(Fairness),
)
LIMITS = st.builds(RateLimitingConfig, max_qps=st.none() | QPS, per_service_limit=st.none() | QPS)


@st.composite
def configs(draw: st.DrawFn) -> GlobalConfig:
    kinds = (st.builds(fixed, RATES), ADAPTIVE, RULES, st.builds(paced, st.floats(0, 1e8)))
    strategies = [draw(one) for one in kinds if draw(st.booleans())]
    routes = (routed("batch-*", Priority.LOW), routed("shop", Priority.HIGH)) if draw(st.booleans()) else ()
    return fleet(*strategies, rate=draw(st.none() | RATES), limits=draw(st.none() | LIMITS), routes=routes)


def kept_by_gateways(config: GlobalConfig, observed: dict[str, ServiceLoad], solution: Solution) -> dict[str, float]:
    """By service, what gateways keep that are told of the solution."""
    default = 1.0 if config.sampling_rate is None else config.sampling_rate
    plan = plan_of(SamplingConfig(rate=default), config, solution.rate, solution.services)
    return {
        name: Demand.of(one.received, one.arrived).kept(plan.of_service(name).rate) for name, one in observed.items()
    }


@given(configs(), OBSERVED)
@settings(max_examples=200, deadline=None)
def test_gateways_keep_what_the_leader_expects(config: GlobalConfig, observed: dict[str, ServiceLoad]) -> None:
    solution = solved(config, observed)
    told = sum(kept_by_gateways(config, observed, solution).values())
    assert told == pytest.approx(solution.kept_expected, rel=1e-6, abs=0.02)


@given(configs(), LIMITS, OBSERVED)
@settings(max_examples=200, deadline=None)
def test_no_more_is_kept_than_limits_allow(
    config: GlobalConfig, limits: RateLimitingConfig, observed: dict[str, ServiceLoad]
) -> None:
    config = msgspec.structs.replace(config, rate_limiting=limits)
    by_service = kept_by_gateways(config, observed, solved(config, observed))
    if limits.max_qps is not None:
        assert sum(by_service.values()) <= limits.max_qps * EXACT + 0.02
    for name, one in by_service.items():
        if limits.per_service_limit is not None and name != "_other":
            assert one <= limits.per_service_limit * EXACT + 0.02


@given(configs(), st.floats(0, 1e7), OBSERVED)
@settings(max_examples=200, deadline=None)
def test_no_more_is_kept_than_a_budget_can_pay(
    config: GlobalConfig, budget: float, observed: dict[str, ServiceLoad]
) -> None:
    others = tuple(one for one in config.sampling_strategies if one.budget_per_hour is None)
    config = msgspec.structs.replace(config, sampling_strategies=(*others, paced(budget)))
    assert solved(config, observed).kept_expected <= budget / 3600 * EXACT + 0.02


@given(ADAPTIVE, OBSERVED)
@settings(max_examples=200, deadline=None)
def test_adaptive_stays_within_its_bounds(strategy: StrategyConfig, observed: dict[str, ServiceLoad]) -> None:
    solution = solved(fleet(strategy), observed)
    assert strategy.min_rate is not None
    assert strategy.max_rate is not None
    assert solution.rate is not None
    for rate in (solution.rate, *(one.rate for one in solution.services.values())):
        assert strategy.min_rate - 1e-9 <= rate <= strategy.max_rate + 1e-9


@given(ADAPTIVE, OBSERVED)
@settings(max_examples=200, deadline=None)
def test_adaptive_meets_its_target_or_is_at_a_bound(strategy: StrategyConfig, observed: dict[str, ServiceLoad]) -> None:
    config, target = fleet(strategy), strategy.target_qps or 0.0
    solution = solved(config, observed)
    plan = plan_of(SamplingConfig(), config, solution.rate, solution.services)
    rates = [plan.of_service(name).rate for name, one in observed.items() if one.received > 0.02]
    if solution.kept_expected > target * EXACT + 0.02:
        assert rates == pytest.approx([strategy.min_rate] * len(rates), abs=1e-6)
    elif solution.kept_expected < target / EXACT - 0.02:
        assert rates == pytest.approx([strategy.max_rate] * len(rates), abs=1e-6)


@given(ADAPTIVE, OBSERVED, st.sampled_from(NAMES), st.floats(1, 1e6))
@settings(max_examples=200, deadline=None)
def test_more_load_never_raises_the_rate(
    strategy: StrategyConfig, observed: dict[str, ServiceLoad], name: str, more: float
) -> None:
    config = fleet(strategy)
    before, one = solved(config, observed), observed.get(name, load(0.0))
    after = solved(config, {**observed, name: load(one.received + more, one.arrived)})
    assert (before.rate or 0.0) * EXACT + 1e-9 >= (after.rate or 0.0)


ENTRIES = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(
        lambda priority, rate, received: Entry(priority, rate, rate, demand=Demand(received)),
        st.sampled_from(Priority),
        st.floats(0.01, 1),
        SPANS,
    ),
)


@given(ENTRIES, st.floats(0, 1e6))
@settings(max_examples=200, deadline=None)
def test_a_cut_takes_from_nobody_before_those_below_have_given(entries: dict[str, Entry], ceiling: float) -> None:
    after = cut(entries, ceiling, Cause.LIMIT)
    assert kept(after.values()) <= ceiling * EXACT + 1e-6
    factors = {
        priority: after[name].rate / entry.rate for name, entry in entries.items() for priority in [entry.priority]
    }
    order = [factors[one] for one in (Priority.LOW, Priority.NORMAL, Priority.HIGH) if one in factors]
    for lower, higher in pairwise(order):
        assert lower <= higher + 1e-9
        assert higher > 1 - 1e-9 or lower <= 0.01 * EXACT
    if kept(entries.values()) <= ceiling:
        assert after == entries
    assert {name: replace(entry, rate=0.0, cause=Cause.RATE, moved=False) for name, entry in after.items()} == {
        name: replace(entry, rate=0.0) for name, entry in entries.items()
    }


@given(st.lists(st.tuples(configs(), OBSERVED), min_size=1, max_size=4), configs(), OBSERVED)
@settings(max_examples=200, deadline=None)
def test_a_change_of_configuration_loses_no_state(
    past: list[tuple[GlobalConfig, dict[str, ServiceLoad]]], config: GlobalConfig, observed: dict[str, ServiceLoad]
) -> None:
    """Whatever was configured before: estimates of load and what is spent are those of what was seen."""
    state = other = ControllerState()
    for before, seen in past:
        state = solved(before, seen, state).state
        other = solved(msgspec.structs.replace(config, version=1), seen, other).state
        estimates = {name: (track.received, track.arrived) for name, track in state.tracks.items()}
        assert estimates == {name: (track.received, track.arrived) for name, track in other.tracks.items()}
    assert msgspec.json.decode(msgspec.json.encode(state), type=ControllerState) == state
    solved(config, observed, state)
