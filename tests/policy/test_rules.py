"""Rules are held against the plainest reading of them: one after the other, each pattern by itself."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config.fleet import RoutingRule
from sidecar.model import Priority
from sidecar.policy.rules import AreaRule, areas_of, ordered, rule_of, settled
from sidecar.sampling.glob import matches
from tests.policy.policies import rule

PATTERNS = st.text("ab.*", min_size=1, max_size=6)
NAMES = st.text("ab.|\n", max_size=8)
RULES = st.builds(rule, PATTERNS, st.sampled_from(["east", "west", "here"]), st.sampled_from(Priority))


def test_by_priority_then_the_longest_pattern() -> None:
    rules = [
        rule("*", "a", Priority.HIGH),
        rule("pay-*", "b"),
        rule("pay-card-*", "c"),
        rule("pay-card-eu", "d"),
        rule("pay-card-*", "e", Priority.LOW),
        rule("payment", "f", Priority.HIGH),
    ]
    assert [one.target_region for one in ordered(rules)] == ["f", "a", "d", "c", "b", "e"]


@settings(max_examples=200)
@given(st.lists(RULES, max_size=6), st.lists(NAMES, max_size=6))
def test_the_first_rule_that_fits_decides(rules: list[RoutingRule], names: list[str]) -> None:
    made = settled(rules, {"here": 0, "east": 2})
    assert [one.pattern for one in made] == [one.service for one in ordered(rules)]
    expected = [next((one for one in made if matches(one.pattern, name)), None) for name in names]
    assert [rule_of(made, name) for name in names] == expected
    assert areas_of(made, names) == [one.area if one else 0 for one in expected]


@settings(max_examples=200)
@given(st.lists(RULES, max_size=6))
def test_a_region_without_anybody_healthy_is_not_gone_to(rules: list[RoutingRule]) -> None:
    for one in settled(rules, {"here": 0, "east": 2}):
        assert one.area == (2 if one.region == "east" else 0)


def test_no_pattern_takes_long() -> None:
    """A hundred stars and a name that almost fits: what backtracks would not end within the life of the universe."""
    rules = (AreaRule("*a" * 100 + "b", "east", 1),)
    assert areas_of(rules, ["a" * 255] * 100) == [0] * 100
