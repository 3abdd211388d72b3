"""Routing rules: which services leave their own region for another one, and in which order rules decide."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec

from sidecar.config.fleet import RoutingRule
from sidecar.sampling import glob


class AreaRule(msgspec.Struct, frozen=True):
    """A rule as a policy has it."""

    pattern: str
    """The name of a service, or a pattern with `*`."""
    region: str
    """Where the rule sends it."""
    area: int
    """Where it goes: the number of that region's area, or 0, the own one."""


class Fallback(msgspec.Struct, frozen=True):
    """A rule that is not followed for now: its region has no healthy member that is known here."""

    pattern: str
    region: str


def ordered(rules: Iterable[RoutingRule]) -> tuple[RoutingRule, ...]:
    """The rules in the order in which they decide: by priority, then names before patterns, then the longest."""
    return glob.ordered(rules, lambda rule: rule.service, lambda rule: rule.priority)


def settled(rules: Iterable[RoutingRule], areas: Mapping[str, int]) -> tuple[AreaRule, ...]:
    """The rules in deciding order, and where each leads. areas: the numbers of regions that have a healthy member."""
    return tuple(
        AreaRule(rule.service, rule.target_region, areas.get(rule.target_region, 0)) for rule in ordered(rules)
    )


def rule_of(rules: tuple[AreaRule, ...], service: str) -> AreaRule | None:
    """The rule that decides about a service; None where it stays in its own region."""
    return _finder(rules)(service) if rules else None


def areas_of(rules: tuple[AreaRule, ...], services: Sequence[str]) -> list[int]:
    """The numbers of the areas that services go to."""
    if not rules:
        return [0] * len(services)
    find = _finder(rules)
    return [rule.area if (rule := find(service)) is not None else 0 for service in services]


@lru_cache(maxsize=8)
def _finder(rules: tuple[AreaRule, ...]) -> Callable[[str], AreaRule | None]:
    """`rule_of` for these rules. Every policy asks about every service, so it remembers more of them than a ledger has.

    All patterns are one expression, its groups numbered as the rules are: the first one that fits is found.
    """
    patterns = re.compile("|".join(f"({_expression(rule.pattern)})" for rule in rules), re.DOTALL)

    @lru_cache(maxsize=2048)
    def find(service: str) -> AreaRule | None:
        found = patterns.fullmatch(service)
        return rules[found.lastindex - 1] if found and found.lastindex else None

    return find


def _expression(pattern: str) -> str:
    """A pattern as a regular expression that never goes back: each text between two `*` is taken where it comes first.

    That is enough for a match, and keeps the time linear in the length of the name, whatever the pattern.
    """
    first, *rest = map(re.escape, pattern.split("*"))
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>.*?{text})" for text in middle if text) + f".*{last}"
