"""Other ways to write a fleet's configuration: further names of keys, times in milliseconds, strategies by their name.

    PriorityBased:                              type: priority_based
      high_priority_rate: 1.0          -->      rules: [{priority: high, rate: 1.0}, {priority: low, rate: 0.01}]
      low_priority_rate: 0.01

Trees of text go in and come out; every piece keeps its place. What such a tree means is the decoder's affair.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from sidecar.config.fleet import GlobalConfig, LocalBatch, LocalConfig, RetryPolicy, StrategyConfig
from sidecar.config.given import Empty, Given, Items, Keys, Text
from sidecar.config.reference import fields
from sidecar.config.schema import Section
from sidecar.errors import Problem
from sidecar.model import Priority, SamplingStrategy


class Alias(NamedTuple):
    """The key that is meant, and the unit that a plain number is in."""

    key: str
    unit: str = ""


ALIASES: Mapping[type[Section], Mapping[str, Alias]] = {
    GlobalConfig: {"global_sampling_rate": Alias("sampling_rate")},
    StrategyConfig: {
        "cost_per_span": Alias("per_span"),
        "hourly_budget": Alias("budget_per_hour"),
        "budget": Alias("budget_per_hour"),
    },
    LocalConfig: {
        "sampling_rate": Alias("regional_sampling_rate"),
        "batch": Alias("batch_config"),
        "retry": Alias("retry_policy"),
    },
    LocalBatch: {
        "max_size": Alias("max_items"),
        "max_batch_size": Alias("max_items"),
        "timeout": Alias("max_wait"),
        "timeout_ms": Alias("max_wait", "ms"),
        "max_wait_ms": Alias("max_wait", "ms"),
    },
    RetryPolicy: {
        "initial_backoff_ms": Alias("initial_backoff", "ms"),
        "max_backoff_ms": Alias("max_backoff", "ms"),
    },
}
CLASS_RATES: Mapping[str, Priority] = {
    "high_priority_rate": Priority.HIGH,
    "normal_rate": Priority.NORMAL,
    "normal_priority_rate": Priority.NORMAL,
    "low_priority_rate": Priority.LOW,
}
"""Keys of `priority_based` that stand for a rule without services."""
_TYPES = frozenset(SamplingStrategy)


def reworded(section: type[Section], given: Given, path: str, problems: list[Problem]) -> Given:
    """What is `given` for a section, in the words of the schema. Adds to `problems` what is written in two ways."""
    if not isinstance(given, Keys):
        return given
    if section is StrategyConfig:
        given = _strategy(given)
    aliases = ALIASES.get(section, {})
    keys: dict[str, Given] = {}
    for written, value in given.keys.items():
        alias = aliases.get(written, Alias(written))
        if alias.key in keys or (alias.key != written and alias.key in given.keys):
            inner = f"{path}.{written}" if path else written
            problem = f"is another name of {alias.key}, which is given too"
            problems.append(Problem(inner, problem, "", value.source.line, value.source.where))
        else:
            keys[alias.key] = _in_unit(value, alias.unit) if alias.unit else value
    for field in fields(section):
        if field.section is not None and field.key in keys:
            inner = f"{path}.{field.key}" if path else field.key
            keys[field.key] = _inside(field.section, keys[field.key], inner, problems)
    return Keys(keys, given.source)


def _inside(section: type[Section], given: Given, path: str, problems: list[Problem]) -> Given:
    if not isinstance(given, Items):
        return reworded(section, given, path, problems)
    items = (reworded(section, item, f"{path}[{i}]", problems) for i, item in enumerate(given.items))
    return Items(tuple(items), given.source)


def _in_unit(given: Given, unit: str) -> Given:
    plain = isinstance(given, Text) and re.fullmatch(r"\s*[0-9.]+\s*", given.text)
    return Text(f"{given.text.strip()}{unit}", given.source) if plain and isinstance(given, Text) else given


def _strategy(given: Keys) -> Keys:
    """A strategy with its `type:` in the schema's spelling, and the rates of classes as rules."""
    keys = dict(given.keys)
    if len(keys) == 1:
        ((name, inner),) = keys.items()
        if _type(name) in _TYPES and isinstance(inner, Keys | Empty):
            keys = {"type": Text(name, inner.source), **(inner.keys if isinstance(inner, Keys) else {})}
    if isinstance(written := keys.get("type"), Text):
        keys["type"] = Text(_type(written.text), written.source)
    rates = {key: keys.pop(key) for key in CLASS_RATES if key in keys}
    rules = keys.get("rules", Items((), given.source))
    if rates and isinstance(rules, Items):
        added = (
            Keys({"priority": Text(CLASS_RATES[key], rate.source), "rate": rate}, rate.source)
            for key, rate in rates.items()
        )
        keys["rules"] = Items((*rules.items, *added), rules.source)
    return Keys(keys, given.source)


def _type(name: str) -> str:
    """`PriorityBased` is `priority_based`; what is no such name stays as it is."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip()).lower()
    return snake if snake in _TYPES else name
