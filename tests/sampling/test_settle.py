from sidecar.config.fleet import GlobalConfig, RateLimitingConfig
from sidecar.config.schema import SamplingConfig
from sidecar.model import Priority, Signal
from sidecar.sampling.plan import Cause, Limit, SamplingPlan, ServiceRate, Shed
from sidecar.sampling.settle import plan_of
from tests.sampling.configs import adaptive, fixed, fleet, paced, pin, prioritised, routed, solved

HIGH, NORMAL, LOW = Priority.HIGH, Priority.NORMAL, Priority.LOW
MANUAL = fleet(
    adaptive(100.0, 0.01, 0.5),
    prioritised(pin(HIGH, 1.0, "payment", "checkout"), pin(NORMAL, 0.1), pin(LOW, 0.01, "debug", "test")),
    routes=(routed("critical-*", HIGH), routed("batch-*", LOW)),
)


def plan(config: GlobalConfig, rate: float = 0.1, told: float | None = None, **services: ServiceRate) -> SamplingPlan:
    return plan_of(SamplingConfig(rate=rate), config, told, services)


def test_without_a_fleet_it_is_the_gateway_alone() -> None:
    sampling = SamplingConfig(rate=0.25, signals=(Signal.TRACES, Signal.LOGS), precision=6)
    assert plan_of(sampling, GlobalConfig()) == SamplingPlan.of(sampling)


def test_shed_and_limit_are_passed_on() -> None:
    shed, limit = Shed(low=0.5), Limit(per_s=10.0)
    settled = plan_of(SamplingConfig(), GlobalConfig(), shed=shed, limit=limit)
    assert (settled.shed, settled.limit) == (shed, limit)


def test_what_needs_no_load_acts_without_a_leader() -> None:
    config = fleet(fixed(0.2), prioritised(pin(HIGH, 1.0, "payment"), pin(LOW, 0.01)), routes=(routed("batch-*", LOW),))
    settled = plan(config)
    assert settled.rate == 0.2
    assert settled.services == {"payment": ServiceRate(1.0, HIGH)}
    assert settled.patterns == (("batch-*", ServiceRate(0.01, LOW)),)


def test_adaptive_without_any_target_is_at_its_upper_bound() -> None:
    settled = plan(MANUAL)
    assert settled.rate == 0.5
    assert settled.services["payment"] == ServiceRate(1.0, HIGH)
    assert settled.services["debug"] == ServiceRate(0.01, LOW)
    assert settled.patterns == (("critical-*", ServiceRate(0.5, HIGH)), ("batch-*", ServiceRate(0.5, LOW)))


def test_cost_without_a_target_keeps_all() -> None:
    assert plan(fleet(paced(100.0)), rate=0.1).rate == 1.0


def test_a_target_says_what_depends_on_load() -> None:
    settled = plan(MANUAL, told=0.05, cart=ServiceRate(0.02, cause=Cause.LIMIT))
    assert settled.rate == 0.05
    assert settled.services["cart"] == ServiceRate(0.02, NORMAL, Cause.LIMIT)
    assert settled.services["payment"].rate == 1.0
    assert dict(settled.patterns)["batch-*"] == ServiceRate(0.05, LOW)


def test_the_class_of_a_service_is_that_of_the_configuration_in_force() -> None:
    told = {"batch-1": ServiceRate(0.02, HIGH)}
    settled = plan_of(SamplingConfig(), MANUAL, 0.05, told)
    assert settled.services["batch-1"].priority is LOW


def test_a_rule_that_is_newer_than_the_target_counts() -> None:
    """The target still has cart as one of the rest."""
    config = fleet(adaptive(100.0), prioritised(pin(HIGH, 0.9, "cart")))
    assert plan(config, told=0.05, cart=ServiceRate(0.05)).services["cart"] == ServiceRate(0.9, HIGH)


def test_a_target_of_strategies_that_have_gone_says_nothing() -> None:
    settled = plan(fleet(fixed(0.3)), told=0.05, cart=ServiceRate(0.02))
    assert settled.rate == 0.3
    assert settled.of_service("cart").rate == 0.3


def test_bounds_that_are_newer_than_the_target_hold() -> None:
    assert plan(fleet(adaptive(100.0, 0.2, 0.5)), told=0.05).rate == 0.2
    assert plan(fleet(adaptive(100.0, 0.2, 0.5)), told=0.9).rate == 0.5


def test_what_limits_and_budgets_have_lowered_stays_so() -> None:
    limited = fleet(prioritised(pin(HIGH, 1.0, "payment")), limits=RateLimitingConfig(max_qps=10.0))
    told = ServiceRate(0.4, HIGH, Cause.LIMIT)
    assert plan(limited, rate=0.5, told=0.05, payment=told).services["payment"] == told
    assert plan(limited, rate=0.5, told=0.05).rate == 0.05
    assert plan(fleet(adaptive(100.0, 0.2), paced(10.0)), told=0.05).rate == 0.05


def test_a_region_keeps_its_own_rate_where_no_load_decides() -> None:
    solution = solved(fleet(rate=0.1), {"cart": 1000.0})
    assert plan_of(SamplingConfig(rate=0.7), fleet(rate=0.1), solution.rate, solution.services).rate == 0.7


def test_names_are_before_patterns_and_sampling_rules_before_routing_rules() -> None:
    config = fleet(
        prioritised(pin(LOW, 0.01, "pay-debug", "*-test"), pin(HIGH, 1.0, "pay-*")),
        routes=(routed("pay-debug", HIGH), routed("pay-test", LOW), routed("x-test-1", HIGH), routed("x-*", LOW)),
    )
    settled = plan(config, rate=0.5)
    assert settled.services == {
        "pay-debug": ServiceRate(0.01, LOW),
        "pay-test": ServiceRate(1.0, HIGH),
        "x-test-1": ServiceRate(0.5, HIGH),
    }
    assert settled.patterns == (
        ("pay-*", ServiceRate(1.0, HIGH)),
        ("*-test", ServiceRate(0.01, LOW)),
        ("x-*", ServiceRate(0.5, LOW)),
    )


def test_a_pattern_for_everything_is_the_rest() -> None:
    config = fleet(prioritised(pin(NORMAL, 0.3, "**")), routes=(routed("batch-*", LOW), routed("*", HIGH)))
    settled = plan(config)
    assert (settled.rate, settled.priority) == (0.3, NORMAL)
    assert settled.patterns == ()  # they come after it


def test_a_plan_answers_for_one_service() -> None:
    settled = plan(MANUAL, told=0.05)
    assert settled.of_service("payment").rate == 1.0
    assert settled.of_service("critical-x") == ServiceRate(0.05, HIGH)
    assert settled.of_service("cart") == ServiceRate(0.05, NORMAL)


def test_what_is_solved_is_what_is_sampled_by() -> None:
    """Whatever way a rate reaches a gateway, the fleet keeps what the leader expects."""
    load = {"payment": 20.0, "debug": 500.0, "cart": 3000.0, "batch-1": 2000.0, "critical-x": 30.0}
    for config in (
        MANUAL,
        fleet(prioritised(pin(HIGH, 1.0, "pay*")), rate=0.2, limits=RateLimitingConfig(max_qps=80.0)),
        fleet(paced(360_000.0), routes=(routed("batch-*", LOW),)),
        fleet(adaptive(500.0), limits=RateLimitingConfig(per_service_limit=40.0)),
    ):
        solution = solved(config, load)
        settled = plan(config, 0.2, solution.rate, **solution.services)
        kept = sum(received * settled.of_service(name).rate for name, received in load.items())
        assert abs(kept - solution.kept_expected) < 1e-6 * kept
