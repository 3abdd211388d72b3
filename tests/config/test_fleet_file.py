from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config.fleet import (
    DegradationConfig,
    GlobalConfig,
    LocalBatch,
    LocalConfig,
    PriorityRule,
    RateLimitingConfig,
    RetryPolicy,
    RoutingRule,
    StrategyConfig,
)
from sidecar.config.fleet_file import FleetDocument, check_succession, load_fleet, read_fleet, shown, write_fleet
from sidecar.errors import ConfigInvalid, Problem
from sidecar.model import OnLimit, Priority, SamplingStrategy
from tests.config.fleets import globals_, locals_

MISSION = """
global:
  sampling_rate: 0.1
  sampling_strategies:
    - {type: adaptive, min_rate: 0.01, max_rate: 0.5, target_qps: 100000}
    - type: priority_based
      rules:
        - {priority: high, rate: 1.0, services: ["payment", "checkout"]}
        - {priority: normal, rate: 0.1}
        - {priority: low, rate: 0.01, services: ["debug", "test"]}
  degradation: {enabled: true, threshold: 0.8, target_rate: 0.01, recovery_threshold: 0.6}
  rate_limiting: {max_qps: 1000000, burst_size: 10000, per_service_limit: 10000}
  routing_rules:
    - {service: "critical-*", target_region: us-east-1, priority: high}
    - {service: "batch-*", target_region: us-west-2, priority: low}
"""


def read(text: str) -> FleetDocument:
    return read_fleet(dedent(text).lstrip("\n"), "fleet.yaml")


def everywhere(text: str) -> GlobalConfig:
    answer = read(text).everywhere
    assert answer is not None
    return answer


def local(text: str) -> LocalConfig:
    answer = read(text).local
    assert answer is not None
    return answer


def refused(text: str) -> list[Problem]:
    with pytest.raises(ConfigInvalid) as caught:
        read(text)
    return list(caught.value.problems)


def test_the_missions_yaml_loads_as_it_stands() -> None:
    document = read(MISSION)
    assert document.everywhere == GlobalConfig(
        sampling_rate=0.1,
        sampling_strategies=(
            StrategyConfig(type=SamplingStrategy.ADAPTIVE, min_rate=0.01, max_rate=0.5, target_qps=100_000),
            StrategyConfig(
                type=SamplingStrategy.PRIORITY_BASED,
                rules=(
                    PriorityRule(priority=Priority.HIGH, rate=1.0, services=("payment", "checkout")),
                    PriorityRule(priority=Priority.NORMAL, rate=0.1),
                    PriorityRule(priority=Priority.LOW, rate=0.01, services=("debug", "test")),
                ),
            ),
        ),
        degradation=DegradationConfig(enabled=True, threshold=0.8, target_rate=0.01, recovery_threshold=0.6),
        rate_limiting=RateLimitingConfig(
            max_qps=1_000_000, burst_size=10_000, per_service_limit=10_000, on_limit=OnLimit.SAMPLE
        ),
        routing_rules=(
            RoutingRule(service="critical-*", target_region="us-east-1", priority=Priority.HIGH),
            RoutingRule(service="batch-*", target_region="us-west-2", priority=Priority.LOW),
        ),
    )
    assert document.local is None
    assert [warning.path for warning in document.warnings] == ["global.routing_rules"]


def test_what_is_not_written_is_not_set() -> None:
    assert everywhere("global: {}") == GlobalConfig()
    assert everywhere("global: {degradation: {}}").degradation == DegradationConfig()
    assert everywhere("global: {degradation: , sampling_rate: 1}").degradation is None
    assert read("global: {}").local is None


def test_a_local_configuration_has_defaults() -> None:
    assert local("local: {}") == LocalConfig(
        buffer_size=10_000,
        batch_config=LocalBatch(max_items=100, max_wait_s=0.1),
        retry_policy=RetryPolicy(max_attempts=3, initial_backoff_s=0.1, max_backoff_s=10.0),
    )


@pytest.mark.parametrize(
    "strategy",
    [
        "{type: priority_based, high_priority_rate: 1, normal_rate: 0.1, low_priority_rate: 0.01}",
        "{type: PriorityBased, high_priority_rate: 1, normal_priority_rate: 0.1, low_priority_rate: 0.01}",
        "{PriorityBased: {high_priority_rate: 1, normal_rate: 0.1, low_priority_rate: 0.01}}",
        "PriorityBased: {rules: [{priority: high, rate: 1}], normal_rate: 0.1, low_priority_rate: 0.01}",
    ],
)
def test_rates_of_classes_are_rules_without_services(strategy: str) -> None:
    (found,) = everywhere(f"global:\n  sampling_strategies:\n  - {strategy}\n").sampling_strategies
    assert found == StrategyConfig(
        type=SamplingStrategy.PRIORITY_BASED,
        rules=tuple(PriorityRule(priority=p, rate=r) for p, r in zip(Priority, (1.0, 0.1, 0.01), strict=True)),
    )


@pytest.mark.parametrize(
    ("strategy", "meant"),
    [
        ("{Fixed: {rate: 0.5}}", StrategyConfig(type=SamplingStrategy.FIXED, rate=0.5)),
        ("{fixed: {rate: 0.5}}", StrategyConfig(type=SamplingStrategy.FIXED, rate=0.5)),
        (
            "{Adaptive: {min_rate: 0.1, max_rate: 0.2, target_qps: 3}}",
            StrategyConfig(type=SamplingStrategy.ADAPTIVE, min_rate=0.1, max_rate=0.2, target_qps=3),
        ),
        (
            "{CostBased: {budget_per_hour: 2, cost_per_span: 0.001}}",
            StrategyConfig(type=SamplingStrategy.COST_BASED, budget_per_hour=2, per_span=0.001),
        ),
        (
            "{type: CostBased, hourly_budget: 2, per_span: 0}",
            StrategyConfig(type=SamplingStrategy.COST_BASED, budget_per_hour=2, per_span=0),
        ),
        (
            "{type: cost_based, budget: 2, per_span: 0}",
            StrategyConfig(type=SamplingStrategy.COST_BASED, budget_per_hour=2, per_span=0),
        ),
    ],
)
def test_strategies_by_their_name(strategy: str, meant: StrategyConfig) -> None:
    assert everywhere(f"global: {{sampling_strategies: [{strategy}]}}").sampling_strategies == (meant,)


@pytest.mark.parametrize(
    "batch",
    [
        "{max_items: 5, max_wait: 250ms}",
        "{max_size: 5, timeout: 0.25}",
        "{max_batch_size: 5, timeout_ms: 250}",
        "{max_size: 5, max_wait_ms: '250'}",
        "{max_size: 5, timeout_ms: 250ms}",
    ],
)
def test_a_batch_in_other_words(batch: str) -> None:
    for key in ("batch_config", "batch"):
        assert local(f"local: {{{key}: {batch}}}").batch_config == LocalBatch(max_items=5, max_wait_s=0.25)


@pytest.mark.parametrize(
    "policy",
    [
        "{max_attempts: 2, initial_backoff: 50ms, max_backoff: 1s}",
        "{max_attempts: 2, initial_backoff_ms: 50, max_backoff_ms: 1000}",
    ],
)
def test_a_retry_policy_in_other_words(policy: str) -> None:
    expected = RetryPolicy(max_attempts=2, initial_backoff_s=0.05, max_backoff_s=1.0)
    for key in ("retry_policy", "retry"):
        assert local(f"local: {{{key}: {policy}}}").retry_policy == expected


def test_rates_in_other_words() -> None:
    assert everywhere("global: {global_sampling_rate: 0.1}").sampling_rate == 0.1
    assert local("local: {sampling_rate: 0.1}").regional_sampling_rate == 0.1


def test_a_key_in_two_words_is_there_twice() -> None:
    (problem,) = refused("global:\n  sampling_rate: 0.1\n  global_sampling_rate: 0.2\n")
    assert (problem.path, problem.line) == ("global.global_sampling_rate", 3)
    assert "another name of sampling_rate" in problem.message
    (problem,) = refused("local: {batch_config: {timeout: 1s, max_wait: 1s}}")
    assert problem.path == "local.batch_config.timeout"
    (problem,) = refused("local: {batch_config: {timeout: 1s, timeout_ms: 1}}")
    assert problem.path == "local.batch_config.timeout_ms"


def test_all_problems_at_once() -> None:
    text = """
        global:
          sampling_rate: 3
          sampling_strategys: []
          sampling_strategies:
            - type: adaptiv
            - type: priority_based
              rules:
                - {priority: urgent, rate: 1}
                - {rate: 1}
              high_priority_rate: 7
            - just text
          degradation: {enabled: maybe, treshold: 0.5}
          rate_limiting: []
          routing_rules: {service: a}
        local:
          retry_policy: {max_attempts: 0}
          local_routing_preference: [a/b]
        workers: 3
    """
    assert [(problem.path, problem.line) for problem in refused(text)] == [
        ("global.sampling_rate", 2),
        ("global.sampling_strategys", 3),
        ("global.sampling_strategies[0].type", 5),
        ("global.sampling_strategies[1].rules[0].priority", 8),
        ("global.sampling_strategies[1].rules[1].priority", 9),
        ("global.sampling_strategies[1].rules[2].rate", 10),
        ("global.sampling_strategies[2]", 11),
        ("global.sampling_strategies[2].type", 11),
        ("global.degradation.treshold", 12),
        ("global.degradation.enabled", 12),
        ("global.rate_limiting", 13),
        ("global.routing_rules", 14),
        ("local.retry_policy.max_attempts", 16),
        ("local.local_routing_preference[0]", 17),
        ("workers", 18),
    ]


@pytest.mark.parametrize(
    ("text", "path", "hint"),
    [
        ("globl: {}", "globl", "did you mean global?"),
        ("sampling_strategies: []", "sampling_strategies", "did you mean global.sampling_strategies?"),
        ("global: {regional_sampling_rate: 1}", "global.regional_sampling_rate", "did you mean local."),
        ("global: {degradation: {recovery: 1}}", "global.degradation.recovery", "did you mean recovery_threshold?"),
        ("global: {degradation: {zzz: 1}}", "global.degradation.zzz", "there are: enabled, threshold, "),
        ("global:", "", "`global: {}` or `local: {}` says nothing on purpose"),
        ("global: {sampling_strategies: [{type: Adaptve}]}", "global.sampling_strategies[0].type", "did you mean adap"),
        ("", "", "there must be something in it"),
        ("global: [", "", ""),
    ],
)
def test_a_problem_has_a_hint(text: str, path: str, hint: str) -> None:
    (problem,) = refused(text)
    assert (problem.path, problem.source) == (path, "fleet.yaml")
    assert problem.hint.startswith(hint)


def test_a_text_with_thousands_of_problems_has_hints_for_the_first() -> None:
    found = refused("global:\n" + "".join(f"  key_{i}: 1\n" for i in range(10_000)))
    assert (len(found), found[0].hint != "", found[-1].hint) == (10_000, True, "")


def test_half_a_character_is_no_crash() -> None:
    assert refused("global: {} # \ud800")[0].message == "is not UTF-8"


def test_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(MISSION)
    assert load_fleet(file).everywhere == read(MISSION).everywhere
    with pytest.raises(ConfigInvalid, match="no such file"):
        load_fleet(tmp_path / "missing.yaml")


@pytest.mark.parametrize("key", ["global", "local"])
def test_a_version_of_its_own_never_goes_back(key: str) -> None:
    old, new = read(f"{key}: {{version: 7}}"), read(f"\n{key}:\n  version: 6\n")
    with pytest.raises(ConfigInvalid) as caught:
        check_succession(old, new)
    (problem,) = caught.value.problems
    assert (problem.path, problem.line, problem.message) == (
        f"{key}.version",
        2,
        "is 6, and 7 is in force already",
    )
    check_succession(new, old)
    check_succession(old, old)


def test_who_gives_no_version_follows_and_is_followed() -> None:
    with_one, without = read("global: {version: 7}"), read("global: {}\nlocal: {version: 1}")
    check_succession(with_one, without)
    check_succession(without, with_one)


@settings(max_examples=200)
@given(st.one_of(st.none(), globals_()), st.one_of(st.none(), locals_()))
def test_what_is_written_reads_the_same(whole: GlobalConfig | None, part: LocalConfig | None) -> None:
    if whole in (None, GlobalConfig()) and part is None:
        return
    text = write_fleet(whole, part)
    document = read_fleet(text, "written")
    assert (document.everywhere or GlobalConfig(), document.local) == (whole or GlobalConfig(), part)


def test_what_is_shown_has_defaults_and_no_gaps() -> None:
    assert shown(read("local: {batch_config: {timeout_ms: 1500}}").local or LocalConfig()) == {
        "buffer_size": 10_000,
        "batch_config": {"max_items": 100, "max_wait": "1500ms"},
        "retry_policy": {"max_attempts": 3, "initial_backoff": "100ms", "max_backoff": "10s"},
    }
    assert shown(GlobalConfig(sampling_rate=1)) == {"sampling_rate": 1}
