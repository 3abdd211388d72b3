from collections.abc import Iterator

import pytest

from sidecar.config.fleet import FleetSections
from sidecar.config.fleet_file import read_fleet
from sidecar.config.fleet_rules import ADVICE, RULES
from sidecar.config.rules import Rule, rule
from sidecar.errors import ConfigInvalid, Problem

RULE_A = "{priority: high, rate: 1, services: [a]}"


def strategies(*texts: str) -> str:
    return f"global: {{sampling_strategies: [{', '.join(texts)}]}}"


def rules(*texts: str) -> str:
    return strategies(f"{{type: priority_based, rules: [{', '.join(texts)}]}}")


def refused(text: str) -> list[Problem]:
    with pytest.raises(ConfigInvalid) as caught:
        read_fleet(text, "fleet.yaml")
    return list(caught.value.problems)


BROKEN = [
    (strategies("{type: adaptive, rate: 0.5, target_qps: 1}"), "[0].rate", "belongs to fixed, not to adaptive"),
    (strategies("{type: fixed, rate: 1, target_qps: 1}"), "[0].target_qps", "belongs to adaptive, not to fixed"),
    (strategies("{type: cost_based, budget: 1, per_span: 1, min_rate: 1}"), "[0].min_rate", "belongs to adaptive"),
    (strategies("{type: fixed, rate: 1, high_priority_rate: 1}"), "[0].rules", "belongs to priority_based"),
    (strategies("{type: adaptive, target_qps: 1, per_span: 1}"), "[0].per_span", "belongs to cost_based"),
    (strategies("{type: adaptive}"), "[0].type", "is adaptive, which needs target_qps"),
    (strategies("{type: fixed}"), "[0].type", "needs rate"),
    (strategies("{type: priority_based}"), "[0].type", "needs rules"),
    (strategies("{type: cost_based, per_span: 1}"), "[0].type", "needs budget_per_hour"),
    (strategies("{type: cost_based, budget: 1}"), "[0].type", "needs per_span"),
    (strategies("{Fixed: {rate: 1}}", "{fixed: {rate: 0.5}}"), "[1].type", "as that of sampling_strategies[0]"),
    (
        strategies("{type: adaptive, target_qps: 1, min_rate: 0.2, max_rate: 0.1}"),
        "[0].max_rate",
        "is below min_rate, which is 0.2",
    ),
    (strategies("{type: adaptive, target_qps: 1, max_rate: 0.001}"), "[0].max_rate", "below min_rate, which is 0.01"),
    (strategies("{type: adaptive, target_qps: 0}"), "[0].target_qps", "nothing would be kept"),
    (strategies("{type: cost_based, budget: 0, per_span: 1}"), "[0].budget_per_hour", "nothing would be kept"),
    (rules(RULE_A, "{priority: low, rate: 0, services: [b, a]}"), "[0].rules[1].services[1]", "rules[0].services[0]"),
    (rules("{priority: low, rate: 0, services: [a, a]}"), "[0].rules[0].services[1]", "rules[0].services[0]"),
    (rules("{priority: low, rate: 0}", "{priority: low, rate: 1}"), "[0].rules[1].priority", "as that of rules[0]"),
    ("global: {degradation: {threshold: 0.6}}", "global.degradation.recovery_threshold", "not below threshold, 0.6"),
    ("global: {rate_limiting: {max_qps: 0}}", "global.rate_limiting.max_qps", "nothing would pass"),
    ("global: {rate_limiting: {per_service_limit: 0}}", "global.rate_limiting.per_service_limit", "nothing would pass"),
    (
        "global: {routing_rules: [{service: a, target_region: x}, {service: a, target_region: y, priority: low}]}",
        "global.routing_rules[1].service",
        "as that of routing_rules[0]",
    ),
    (
        "global: {routing: {strategy: intelligent, load_weight: 0, latency_weight: 0, capacity_weight: 0}}",
        "global.routing.load_weight",
        "one must count",
    ),
    ("local: {local_routing_preference: [a, b, a]}", "local.local_routing_preference[2]", "as is the one at [0]"),
    ("local: {retry_policy: {max_backoff: 1ms}}", "local.retry_policy.initial_backoff", "longer than max_backoff"),
    # what a kind refuses by itself
    ("global: {sampling_rate: 1.1}", "global.sampling_rate", "must be from 0 to 1"),
    ("global: {degradation: {threshold: -1}}", "global.degradation.threshold", "must be from 0 to 1"),
    ("global: {degradation: {target_rate: 2}}", "global.degradation.target_rate", "must be from 0 to 1"),
    ("global: {rate_limiting: {burst_size: -1}}", "global.rate_limiting.burst_size", "must be from 0"),
    ("global: {rate_limiting: {max_qps: -1}}", "global.rate_limiting.max_qps", "must be from 0"),
    ("global: {rate_limiting: {on_limit: drop}}", "global.rate_limiting.on_limit", "must be one of sample, refuse"),
    ("global: {routing: {strategy: random}}", "global.routing.strategy", "must be one of consistent_hash"),
    (
        "global: {routing_rules: [{service: a, target_region: 'a/b'}]}",
        "global.routing_rules[0].target_region",
        "must be at most 64 of",
    ),
    (strategies("{type: tail}"), "[0].type", "must be one of fixed, adaptive"),
    ("local: {regional_sampling_rate: 2}", "local.regional_sampling_rate", "must be from 0 to 1"),
    ("local: {buffer_size: 0}", "local.buffer_size", "must be from 1"),
    ("local: {version: -1}", "local.version", "must be from 0"),
]
UNWISE = [
    (
        "global: {routing_rules: [{service: a, target_region: x}, {service: b, target_region: y}]}",
        "global.routing_rules",
        "a in x; b in y",
    ),
    ("global: {sampling_rate: 1, sampling_strategies: [{fixed: {rate: 1}}]}", "global.sampling_rate", "is not used"),
    (
        "global: {rate_limiting: {max_qps: 1000}, sampling_strategies: [{adaptive: {target_qps: 1001}}]}",
        "global.sampling_strategies[0].target_qps",
        "max_qps is 1,000",
    ),
    (
        "global: {rate_limiting: {max_qps: 1, per_service_limit: 2}}",
        "global.rate_limiting.per_service_limit",
        "above max_qps",
    ),
]


@pytest.mark.parametrize(("text", "path", "complaint"), BROKEN)
def test_a_broken_rule_refuses(text: str, path: str, complaint: str) -> None:
    (problem,) = refused(text)
    assert problem.path == (f"global.sampling_strategies{path}" if path.startswith("[") else path)
    assert complaint in problem.message
    assert problem.where.startswith("fleet.yaml")


@pytest.mark.parametrize(("text", "path", "complaint"), UNWISE)
def test_advice_is_given_and_refuses_nothing(text: str, path: str, complaint: str) -> None:
    (warning,) = read_fleet(text, "fleet.yaml").warnings
    assert warning.path == path
    assert complaint in warning.message
    assert warning.where == "fleet.yaml:1"


@pytest.mark.parametrize("each", RULES, ids=lambda each: each.check.__name__)
def test_every_rule_is_broken_once(each: Rule[FleetSections]) -> None:
    others = [other for other in RULES if other is not each]
    assert any(passes(text, others) for text, _, _ in BROKEN)


@pytest.mark.parametrize("each", ADVICE, ids=lambda each: each.check.__name__)
def test_every_advice_is_given_once(each: Rule[FleetSections]) -> None:
    others = [other for other in ADVICE if other is not each]
    assert any(not read_fleet(text, "fleet.yaml", advice=others).warnings for text, _, _ in UNWISE)


def passes(text: str, rules: list[Rule[FleetSections]]) -> bool:
    try:
        read_fleet(text, "fleet.yaml", rules)
    except ConfigInvalid:
        return False
    return True


def test_one_region_splits_only_what_it_takes() -> None:
    text = "global: {routing_rules: [{service: a, target_region: x}, {service: b, target_region: x}]}"
    assert read_fleet(text, "fleet.yaml").warnings == ()


def test_rules_have_lines() -> None:
    text = "global:\n  sampling_strategies:\n  - type: adaptive\n    rate: 1\n  - type: fixed\n"
    assert {problem.path.removeprefix("global.sampling_strategies"): problem.line for problem in refused(text)} == {
        "[0].type": 3,
        "[0].rate": 4,
        "[1].type": 5,
    }


def test_a_rule_is_silent_about_what_cannot_be_read() -> None:
    (problem,) = refused(strategies("{type: adaptive, target_qps: many}"))
    assert problem.path == "global.sampling_strategies[0].target_qps"
    assert [p.path for p in refused(strategies("{rate: 1}", "{type: fixed}"))] == ["global.sampling_strategies[0].type"]


def test_rules_from_above_are_handed_in() -> None:
    @rule("global.sampling_rate")
    def never_none(config: FleetSections) -> Iterator[Problem]:
        if config.everywhere and config.everywhere.sampling_rate == 0:
            yield Problem("global.sampling_rate", "is 0")

    with pytest.raises(ConfigInvalid, match=r"fleet\.yaml:1: global\.sampling_rate: is 0"):
        read_fleet("global: {sampling_rate: 0}", "fleet.yaml", rules=(*RULES, never_none))
    assert len(read_fleet("global: {sampling_rate: 0}", "fleet.yaml", advice=(never_none,)).warnings) == 1
