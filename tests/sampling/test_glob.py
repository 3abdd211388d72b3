import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.model import Priority
from sidecar.sampling.glob import is_glob, matches, ordered

TEXT = st.text("ab*", max_size=8)


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("cart", "cart", True),
        ("cart", "carts", False),
        ("critical-*", "critical-", True),
        ("critical-*", "critical-pay", True),
        ("critical-*", "uncritical-pay", False),
        ("*-db", "users-db", True),
        ("a*a", "a", False),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("*", "", True),
        ("a?c", "abc", False),
        ("[ab]", "a", False),
        ("a.c", "abc", False),
    ],
)
def test_a_star_stands_for_any_text(pattern: str, name: str, fits: bool) -> None:
    assert matches(pattern, name) is fits


@given(TEXT, st.text("ab", max_size=10))
@settings(max_examples=200, deadline=None)
def test_it_is_the_regular_expression(pattern: str, name: str) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert matches(pattern, name) is bool(re.fullmatch(expression, name, re.DOTALL))


def test_many_stars_cost_little() -> None:
    assert not matches("*a" * 100 + "*b", "a" * 10_000)


def test_the_order_is_by_priority_then_names_then_length() -> None:
    rules = [
        ("*", Priority.LOW),
        ("batch-*", Priority.NORMAL),
        ("batch-night-*", Priority.NORMAL),
        ("batch-night-1", Priority.NORMAL),
        ("b*", Priority.HIGH),
        ("x", Priority.LOW),
    ]
    for given_order in (rules, rules[::-1]):
        assert [name for name, _ in ordered(given_order, lambda rule: rule[0], lambda rule: rule[1])] == [
            "b*",
            "batch-night-1",
            "batch-night-*",
            "batch-*",
            "x",
            "*",
        ]


def test_stars_add_no_length() -> None:
    rules = ["a*****", "ab*"]
    assert ordered(rules, str, lambda _: Priority.NORMAL) == ("ab*", "a*****")
    assert not is_glob("ab")
