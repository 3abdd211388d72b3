"""How strategies combine, one rule at a time, with numbers that can be checked by hand."""

from __future__ import annotations

import pytest

from sidecar.config.fleet import RateLimitingConfig
from sidecar.model import Fairness, OnLimit, Priority
from sidecar.sampling.plan import Cause
from sidecar.sampling.solve import Solution
from tests.sampling.configs import adaptive, fixed, fleet, load, paced, pin, prioritised, routed, solved

HIGH, NORMAL, LOW = Priority.HIGH, Priority.NORMAL, Priority.LOW


def rates(solution: Solution) -> dict[str, float]:
    """What is told, `*` for all others."""
    told = {name: service.rate for name, service in solution.services.items()}
    return told if solution.rate is None else {**told, "*": solution.rate}


def test_without_strategies_nothing_depends_on_load() -> None:
    solution = solved(fleet(rate=0.1), {"cart": 1000.0})
    assert rates(solution) == {}
    assert solution.received == 1000.0
    assert solution.kept_expected == pytest.approx(100.0)
    assert solution.reasons == ()


def test_the_default_of_the_gateway_holds_where_the_fleet_has_none() -> None:
    assert solved(fleet(), {"cart": 1000.0}, default_rate=0.5).kept_expected == pytest.approx(500.0)


def test_fixed_is_the_rate_instead_of_the_default() -> None:
    solution = solved(fleet(fixed(0.2), rate=0.5), {"cart": 1000.0})
    assert rates(solution) == {}
    assert solution.kept_expected == pytest.approx(200.0)


def test_adaptive_is_target_by_observed() -> None:
    solution = solved(fleet(adaptive(100.0)), {"cart": 600.0, "shop": 400.0})
    assert rates(solution) == {"*": pytest.approx(0.1)}
    assert solution.kept_expected == pytest.approx(100.0)
    assert solution.reasons == ("adaptive keeps 100 spans/s of a target of 100",)


def test_a_target_that_cannot_be_met_is_explained() -> None:
    config = fleet(adaptive(100.0, 0.1, 0.5))
    assert solved(config, {"cart": 100.0}).reasons[0].endswith("target of 100, as nothing may be raised further")
    assert solved(config, {"cart": 1e6}).reasons[0].endswith("target of 100, as nothing may be lowered further")


@pytest.mark.parametrize(("received", "rate"), [(100.0, 0.5), (250.0, 0.4), (10_000.0, 0.02)])
def test_adaptive_stays_within_its_bounds(received: float, rate: float) -> None:
    assert rates(solved(fleet(adaptive(100.0, 0.02, 0.5)), {"cart": received})) == {"*": pytest.approx(rate)}


@pytest.mark.parametrize("fairness", Fairness)
def test_with_nothing_observed_adaptive_is_at_its_upper_bound(fairness: Fairness) -> None:
    assert rates(solved(fleet(adaptive(100.0, 0.02, 0.5, fairness), rate=0.1), {})) == {"*": 0.5}


def test_named_services_keep_their_rate_and_adaptive_moves_the_rest_so_that_all_meet_the_target() -> None:
    """payment keeps 40 of the 100; 60 are left for 600."""
    config = fleet(adaptive(100.0), prioritised(pin(HIGH, 1.0, "payment"), pin(LOW, 0.0, "debug")))
    solution = solved(config, {"payment": 40.0, "debug": 5000.0, "cart": 400.0, "shop": 200.0})
    assert rates(solution) == {"*": pytest.approx(0.1)}
    assert solution.kept_expected == pytest.approx(100.0)


def test_named_services_over_the_target_leave_the_rest_at_the_lower_bound() -> None:
    config = fleet(adaptive(100.0, 0.01), prioritised(pin(HIGH, 1.0, "payment")))
    solution = solved(config, {"payment": 500.0, "cart": 1000.0})
    assert rates(solution) == {"*": 0.01}
    assert solution.kept_expected == pytest.approx(510.0)


def test_patterns_name_services_too() -> None:
    config = fleet(adaptive(100.0), prioritised(pin(HIGH, 1.0, "pay*"), pin(LOW, 0.1, "payroll")))
    solution = solved(config, {"payment": 50.0, "payroll": 100.0, "cart": 400.0})
    assert rates(solution) == {"*": pytest.approx(0.1)}
    assert solution.kept_expected == pytest.approx(50.0 + 10.0 + 40.0)


def test_a_rule_without_services_is_the_rate_of_its_class() -> None:
    config = fleet(
        prioritised(pin(HIGH, 1.0), pin(NORMAL, 0.1), pin(LOW, 0.01)),
        rate=0.5,
        routes=(routed("critical-*", HIGH), routed("batch-*", LOW)),
    )
    solution = solved(config, {"critical-a": 10.0, "cart": 100.0, "batch-a": 1000.0})
    assert rates(solution) == {}
    assert solution.kept_expected == pytest.approx(10.0 + 10.0 + 10.0)


def test_under_adaptive_classes_keep_the_proportions_of_their_rates() -> None:
    """10 : 1; the level is 5: 10 x 0.5 + 100 x 0.05 = 10."""
    config = fleet(
        adaptive(10.0, 0.001), prioritised(pin(HIGH, 0.1), pin(NORMAL, 0.01)), routes=(routed("critical-*", HIGH),)
    )
    solution = solved(config, {"critical-a": 10.0, "cart": 100.0})
    assert rates(solution) == {"critical-*": pytest.approx(0.5), "*": pytest.approx(0.05)}
    assert solution.services["critical-*"].priority is HIGH


def test_a_class_at_its_upper_bound_leaves_the_rest_to_the_others() -> None:
    """critical-a cannot be kept more than whole: 40 are left for 100."""
    config = fleet(adaptive(50.0), prioritised(pin(HIGH, 1.0), pin(NORMAL, 0.1)), routes=(routed("critical-*", HIGH),))
    solution = solved(config, {"critical-a": 10.0, "cart": 100.0})
    assert rates(solution) == {"critical-*": 1.0, "*": pytest.approx(0.4)}


def test_adaptive_meets_its_target_where_the_default_is_zero() -> None:
    assert rates(solved(fleet(adaptive(100.0), rate=0.0), {"cart": 1000.0})) == {"*": pytest.approx(0.1)}


def test_max_min_keeps_rare_services_whole() -> None:
    """100 for 10 + 30 + 1000: the level is 60."""
    config = fleet(adaptive(100.0, fairness=Fairness.MAX_MIN, min_rate=0.0))
    solution = solved(config, {"rare": 10.0, "some": 30.0, "busy": 1000.0})
    assert rates(solution) == {"busy": pytest.approx(0.06), "*": 1.0}
    assert solution.kept_expected == pytest.approx(100.0)


def test_max_min_respects_its_upper_bound() -> None:
    """At most half of what is rare: 5, so 95 are left."""
    config = fleet(adaptive(100.0, 0.01, 0.5, Fairness.MAX_MIN))
    solution = solved(config, {"rare": 10.0, "busy": 1000.0})
    assert rates(solution) == {"busy": pytest.approx(0.095), "*": 0.5}


def test_max_min_respects_its_lower_bound() -> None:
    """A tenth of all is more than the target: nobody gets more, whoever comes next included."""
    config = fleet(adaptive(50.0, 0.1, 0.5, Fairness.MAX_MIN))
    assert rates(solved(config, {"rare": 10.0, "busy": 1000.0})) == {"*": 0.1}


def test_under_max_min_the_unnamed_share_what_one_service_may() -> None:
    config = fleet(adaptive(100.0, fairness=Fairness.MAX_MIN, min_rate=0.0))
    solution = solved(config, {"busy": 500.0, "_other": 1000.0})
    assert rates(solution) == {"busy": pytest.approx(0.1), "*": pytest.approx(0.05)}


def test_what_came_sampled_counts_for_what_can_be_kept_of_it() -> None:
    """Of `edge` a quarter has come: at 0.2 0.2/0.25 of it stays, 80; with 0.2 x 100 of cart that is 100."""
    solution = solved(fleet(adaptive(100.0)), {"edge": load(100.0, {2: 100.0}), "cart": 100.0})
    assert rates(solution) == {"*": pytest.approx(0.2)}
    assert solution.kept_expected == pytest.approx(100.0)


def test_cost_paces_what_is_left_over_what_is_left_of_the_hour() -> None:
    """36,000 in 3,600 s are 10 a second."""
    solution = solved(fleet(paced(36_000.0)), {"cart": 100.0})
    assert rates(solution) == {"*": pytest.approx(0.1)}
    half = solved(fleet(paced(36_000.0)), {"cart": 100.0}, into_hour_s=1800.0)
    assert rates(half) == {"*": pytest.approx(0.2)}
    assert half.reasons == ("cost_based has 20 spans/s for the rest of the hour, of 100 wanted",)


@pytest.mark.parametrize(("per_span", "received"), [(0.0, 1e6), (1.0, 0.0), (1.0, 0.002)])
def test_cost_keeps_all_where_spans_cost_nothing_or_next_to_none_are_seen(per_span: float, received: float) -> None:
    solution = solved(fleet(paced(10.0, per_span), rate=0.1), {"cart": received})
    assert rates(solution) == {}
    assert solution.kept_expected == pytest.approx(received)


def test_cost_takes_from_the_lowest_class_first() -> None:
    """110 wanted and 60 affordable: batch gives up 50 of 60, nobody else anything."""
    config = fleet(paced(216_000.0), prioritised(pin(HIGH, 1.0, "payment")), routes=(routed("batch", LOW),), rate=0.5)
    solution = solved(config, {"payment": 10.0, "cart": 40.0, "batch": 60.0})
    assert rates(solution) == {"batch": pytest.approx(10 / 60)}
    assert solution.services["batch"].cause is Cause.RATE


def test_cost_cuts_pinned_services_last() -> None:
    """11 affordable: batch and cart go to a hundredth (1), payment to 10."""
    config = fleet(paced(39_600.0), prioritised(pin(HIGH, 1.0, "payment"), pin(LOW, 1.0, "batch")))
    solution = solved(config, {"payment": 100.0, "cart": 40.0, "batch": 60.0})
    assert rates(solution) == {
        "batch": pytest.approx(0.01),
        "*": pytest.approx(0.01),
        "payment": pytest.approx(0.1),
    }


def test_a_budget_that_is_spent_ends_it_all() -> None:
    config = fleet(paced(1000.0))
    first = solved(config, {"cart": load(100.0, kept=100.0)}, elapsed_s=0.0)
    spent = solved(config, {"cart": load(100.0, kept=100.0)}, first.state, into_hour_s=10.0, elapsed_s=10.0)
    assert spent.budget_spent == pytest.approx(1000.0)
    assert rates(spent) == {"*": 0.0}


def test_adaptive_below_the_budget_is_what_counts_and_above_it_the_budget() -> None:
    config = fleet(adaptive(100.0), paced(180_000.0))
    assert solved(config, {"cart": 1000.0}).kept_expected == pytest.approx(50.0)
    roomy = fleet(adaptive(100.0), paced(720_000.0))
    assert solved(roomy, {"cart": 1000.0}).kept_expected == pytest.approx(100.0)


def test_a_limit_on_each_service_raises_its_threshold() -> None:
    config = fleet(rate=0.5, limits=RateLimitingConfig(per_service_limit=10.0))
    solution = solved(config, {"busy": 100.0, "rare": 10.0})
    assert rates(solution) == {"busy": pytest.approx(0.1)}
    assert solution.services["busy"].cause is Cause.LIMIT
    assert solution.reasons == ("per_service_limit lowers the rate of 1 service",)


def test_what_a_service_may_not_keep_the_others_may() -> None:
    """busy is held to 10 of the target of 46, so 36 are left for 72."""
    config = fleet(adaptive(46.0), limits=RateLimitingConfig(per_service_limit=10.0))
    solution = solved(config, {"busy": 1000.0, **{f"s{i}": 8.0 for i in range(9)}})
    assert rates(solution) == {"busy": pytest.approx(0.01), "*": pytest.approx(0.5)}


def test_a_limit_holds_for_pinned_services_too() -> None:
    config = fleet(prioritised(pin(HIGH, 1.0, "payment")), limits=RateLimitingConfig(per_service_limit=10.0), rate=0.1)
    assert rates(solved(config, {"payment": 40.0})) == {"payment": pytest.approx(0.25)}


def test_the_limit_of_all_takes_from_the_lowest_class_first() -> None:
    config = fleet(limits=RateLimitingConfig(max_qps=100.0), routes=(routed("batch", LOW),))
    solution = solved(config, {"cart": 80.0, "batch": 40.0})
    assert rates(solution) == {"batch": pytest.approx(0.5)}
    assert solution.services["batch"].cause is Cause.LIMIT
    assert solution.reasons == ("max_qps allows 100 spans/s of 120 wanted",)


def test_the_limit_of_all_is_the_last_word() -> None:
    config = fleet(adaptive(100.0), paced(720_000.0), limits=RateLimitingConfig(max_qps=30.0))
    assert solved(config, {"cart": 1000.0}).kept_expected == pytest.approx(30.0)


def test_nobody_is_thinned_out_where_the_rest_is_to_be_refused() -> None:
    limits = RateLimitingConfig(max_qps=10.0, per_service_limit=1.0, on_limit=OnLimit.REFUSE)
    assert rates(solved(fleet(limits=limits), {"cart": 1000.0})) == {}


def test_the_vocabulary_of_the_fleet_file() -> None:
    """The strategies together as the manual shows them: 100,000 wanted, 35,100 of it pinned, 64,900 for 298,000."""
    config = fleet(
        adaptive(100_000.0, 0.01, 0.5),
        prioritised(pin(HIGH, 1.0, "payment", "checkout"), pin(NORMAL, 0.1), pin(LOW, 0.01, "debug", "test")),
        rate=0.1,
        limits=RateLimitingConfig(max_qps=1_000_000.0, per_service_limit=1e9),
        routes=(routed("critical-*", HIGH), routed("batch-*", LOW)),
    )
    solution = solved(
        config,
        {"payment": 20_000.0, "checkout": 15_000.0, "debug": 10_000.0, "cart": 198_000.0, "batch-a": 100_000.0},
    )
    rate = pytest.approx(64_900 / 298_000)
    assert rates(solution) == {"critical-*": rate, "batch-*": rate, "*": rate}
    assert solution.kept_expected == pytest.approx(100_000.0)


def test_a_name_with_a_star_is_no_pattern() -> None:
    """It counts among the unnamed, or it would give its rate to others."""
    config = fleet(limits=RateLimitingConfig(per_service_limit=10.0))
    assert rates(solved(config, {"a*": 100.0})) == {}


def test_a_rate_that_would_rise_by_a_hair_stays() -> None:
    config = fleet(adaptive(100.0))
    first = solved(config, {"cart": 1000.0})
    again = solved(config, {"cart": 997.0}, first.state, into_hour_s=600.0, elapsed_s=600.0)
    more = solved(config, {"cart": 990.0}, first.state, into_hour_s=600.0, elapsed_s=600.0)
    less = solved(config, {"cart": 1001.0}, first.state, into_hour_s=600.0, elapsed_s=600.0)
    assert again.rate == first.rate
    assert more.rate == pytest.approx(100 / 990)
    assert less.rate == pytest.approx(100 / 1001)
