"""Whole fleets over time: what the controllers hold when reports are late, noisy and rounded."""

from __future__ import annotations

import math

import pytest

from sidecar.config.fleet import GlobalConfig, RateLimitingConfig
from sidecar.model import Fairness, Priority
from sidecar.sampling.ceiling import ceiling
from sidecar.sampling.limit import share_of
from tests.sampling.configs import adaptive, fleet, paced, pin, prioritised, routed
from tests.sampling.world import Upstream, World

TARGET = 10_000.0
WHOLE: Upstream = {}
SAMPLED: Upstream = {"cart": 0.1, "shop": 0.35}
LOAD = {"cart": 10_000.0, "shop": 2_000.0, "rare": 3.0, **{f"s{i}": float(i) for i in range(1, 20)}}


def within_5_percent(world: World, since: int, goal: float = TARGET) -> None:
    """Means over 10 s, from some second to the end."""
    for start in range(since, world.now - 9):
        assert world.mean_kept(start, start + 10) == pytest.approx(goal, rel=0.05), start


def settled(config: GlobalConfig, upstream: Upstream = WHOLE, gateways: int = 3) -> World:
    world = World(config, upstream=upstream)
    for i in range(gateways):
        world.join(f"g{i}", LOAD)
    world.run(60)
    return world


@pytest.mark.parametrize("fairness", Fairness)
@pytest.mark.parametrize("upstream", [WHOLE, SAMPLED], ids=["whole", "sampled"])
@pytest.mark.parametrize("factor", [10.0, 0.1])
def test_a_step_of_ten_is_over_in_30_seconds(fairness: Fairness, upstream: Upstream, factor: float) -> None:
    world = settled(fleet(adaptive(TARGET, 1e-5, fairness=fairness)), upstream)
    if factor < 1:
        world.run(30)
        for gateway in world.gateways.values():
            gateway.load = {name: one / factor for name, one in gateway.load.items()}
        world.run(60)
    step = world.now
    for gateway in world.gateways.values():
        gateway.load = {name: one * factor for name, one in gateway.load.items()}
    world.run(120)
    within_5_percent(world, step + 30)


def test_gateways_that_join_and_leave_are_over_in_30_seconds() -> None:
    world = settled(fleet(adaptive(TARGET, 1e-5)))
    for i in range(3, 9):
        world.join(f"g{i}", LOAD)
    joined = world.now
    world.run(60)
    within_5_percent(world, joined + 30)
    for i in range(7):
        world.leave(f"g{i}")
    left = world.now
    world.run(60)
    within_5_percent(world, left + 30)


def test_pinned_services_are_part_of_the_target() -> None:
    rules = prioritised(pin(Priority.HIGH, 1.0, "rare"), pin(Priority.HIGH, 0.2, "shop"))
    world = settled(fleet(adaptive(TARGET, 1e-5), rules))
    within_5_percent(world, 30)


def test_max_min_keeps_the_rare_whole_while_the_target_is_met() -> None:
    world = settled(fleet(adaptive(TARGET, 1e-5, fairness=Fairness.MAX_MIN)))
    assert world.plan.of_service("rare").rate == 1.0
    assert world.plan.of_service("cart").rate < 0.5
    within_5_percent(world, 30)


@pytest.mark.parametrize("per_service", [None, 500.0])
def test_limits_hold_by_thresholds(per_service: float | None) -> None:
    config = fleet(limits=RateLimitingConfig(max_qps=5000.0, per_service_limit=per_service))
    world = settled(config)
    goal = 5000.0 if per_service is None else sum(min(3 * one, per_service) for one in LOAD.values())
    within_5_percent(world, 30, min(goal, 5000.0))


@pytest.mark.parametrize("adapts", [False, True])
def test_a_budget_lasts_an_hour_of_changing_load(adapts: bool) -> None:
    """1,000 spans/s on average; the load swings between 1,200 and 4,800 a second."""
    strategies = [paced(3.6e6), adaptive(1500.0)] if adapts else [paced(3.6e6)]
    world = World(fleet(*strategies, routes=(routed("batch", Priority.LOW),)))
    world.join("g0", {})
    for minute in range(60):
        total = 3000 * (1 + 0.6 * math.sin(minute / 5))
        world.gateways["g0"].load = {"cart": total * 0.9, "batch": total * 0.1}
        world.run(60)
    assert sum(world.kept) == pytest.approx(3.6e6, rel=0.05)
    assert world.solution is not None
    assert world.solution.budget_spent == pytest.approx(sum(world.kept), rel=0.01)


def test_a_new_leader_goes_on_where_the_old_one_stopped() -> None:
    """Half an hour on, nobody leads for a minute: what is kept meanwhile is paid for by the rest of the hour."""
    world = World(fleet(paced(3.6e6)))
    world.join("g0", {"cart": 3000.0})
    world.run(1800)
    world.led = False
    world.gateways["g0"].load = {"cart": 9000.0}
    world.run(60)
    world.led = True
    world.run(3600 - 60 - 1800)
    assert sum(world.kept) == pytest.approx(3.6e6, rel=0.05)


def test_without_a_leader_growth_is_shed_under_the_local_ceiling() -> None:
    config = fleet(adaptive(TARGET, 1e-5), routes=(routed("s*", Priority.LOW),))
    world = settled(config)
    plan, received = world.plan, world.fleet_received
    shares = {
        name: share_of(sum(one.received for one in gateway.observed().values()), received, 3)
        for name, gateway in world.gateways.items()
    }
    world.led = False
    lost = world.now
    for gateway in world.gateways.values():
        gateway.load = {name: one * 10 for name, one in gateway.load.items()}
    for _ in range(60):
        for name, gateway in world.gateways.items():
            gateway.shed = ceiling(config, plan, gateway.observed(), share=shares[name])
        world.run(1)
    assert world.plan == plan
    within_5_percent(world, lost + 10)


def test_what_does_not_change_is_not_told_again() -> None:
    """A target that stays is a write less to the store, and a policy less at every gateway."""
    world = settled(fleet(adaptive(TARGET, 1e-5)))
    told = set()
    for _ in range(120):
        world.run(2)
        told.add(world.plan.rate)
    assert len(told) <= 15
