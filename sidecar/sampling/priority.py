"""`priority_based`, and the traffic class of every service.

A rule with services pins their rate and says their class. A rule without is the rate of its class: of services that no
rule names. The class of those is that of the routing rule they fit, else normal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from sidecar.config.fleet import GlobalConfig
from sidecar.model import Priority, SamplingStrategy
from sidecar.sampling.entry import Entries, Entry
from sidecar.sampling.fixed import general_rate, strategy_of
from sidecar.sampling.glob import EVERYTHING, is_glob, matches, ordered

_REMEMBERED = 4096
"""Services whose pattern is found without looking."""


class _Rule(NamedTuple):
    pattern: str
    priority: Priority
    pin: float | None = None


@dataclass(frozen=True)
class Rules:
    """The rules of a configuration, made ready."""

    config: GlobalConfig
    default_rate: float
    """Of services that nothing else fits, where no strategy says otherwise."""

    @cached_property
    def entries(self) -> Entries:
        """Who has a rate before any load is known: names, then patterns in the order in which they decide, `*` last.

        What a sampling rule says of a name is before what patterns say, and sampling rules are before routing rules.
        """
        rules = (*self._sampling, *self._routing)
        patterns: dict[str, _Rule] = {}
        for rule in rules:
            if is_glob(rule.pattern):
                patterns.setdefault(rule.pattern, rule)
            if rule.pattern == EVERYTHING:  # nothing after it is ever reached
                break
        patterns.setdefault(EVERYTHING, _Rule(EVERYTHING, Priority.NORMAL))
        pinned = {rule.pattern for rule in self._sampling}
        names: dict[str, _Rule] = {}
        for rule in rules:
            name = rule.pattern
            if not is_glob(name) and name not in names:
                first = next(other for other in rules if matches(other.pattern, name))
                names[name] = rule if name in pinned else first
        return {pattern: self._entry(rule) for pattern, rule in {**names, **patterns}.items()}

    def place(self, name: str) -> str:
        """Which of the entries a service belongs to: its own, or the first pattern that it fits."""
        return name if name in self.entries else self._first_glob(name)

    @cached_property
    def class_rates(self) -> Mapping[Priority, float]:
        """Of rules without services."""
        strategy = strategy_of(self.config, SamplingStrategy.PRIORITY_BASED)
        return {rule.priority: rule.rate for rule in strategy.rules if not rule.services} if strategy else {}

    def _entry(self, rule: _Rule) -> Entry:
        own = rule.pin
        rate = self.class_rates.get(rule.priority, self._general) if own is None else own
        return Entry(rule.priority, rate, rate, pinned=own is not None)

    @cached_property
    def _general(self) -> float:
        return general_rate(self.config, self.default_rate)

    @cached_property
    def _first_glob(self) -> Callable[[str], str]:
        globs = tuple(filter(is_glob, self.entries))

        @lru_cache(_REMEMBERED)
        def first(name: str) -> str:
            return next(pattern for pattern in globs if matches(pattern, name))

        return first

    @cached_property
    def _sampling(self) -> tuple[_Rule, ...]:
        strategy = strategy_of(self.config, SamplingStrategy.PRIORITY_BASED)
        rules = strategy.rules if strategy else ()
        return _ordered(_Rule(_plain(name), rule.priority, rule.rate) for rule in rules for name in rule.services)

    @cached_property
    def _routing(self) -> tuple[_Rule, ...]:
        return _ordered(_Rule(_plain(rule.service), rule.priority) for rule in self.config.routing_rules)


@lru_cache(4)
def rules_of(config: GlobalConfig, default_rate: float) -> Rules:
    """A configuration holds for long, and its rules are asked every second."""
    return Rules(config, default_rate)


def _ordered(rules: Iterable[_Rule]) -> tuple[_Rule, ...]:
    return ordered(rules, lambda rule: rule.pattern, lambda rule: rule.priority)


def _plain(pattern: str) -> str:
    """With single stars: `**` is `*`."""
    while "**" in pattern:
        pattern = pattern.replace("**", "*")
    return pattern
