"""Patterns of service names: `*` stands for any text, the empty one included; no other character is special."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from sidecar.model import Priority

EVERYTHING = "*"
"""The pattern that every name fits."""

_RANK = {priority: rank for rank, priority in enumerate((Priority.HIGH, Priority.NORMAL, Priority.LOW))}
_Rule = TypeVar("_Rule")


def is_glob(pattern: str) -> bool:
    """Whether it stands for more than one name."""
    return "*" in pattern


def matches(pattern: str, name: str) -> bool:
    """Whether the whole name fits. Linear in the length of the name for every star."""
    head, *pieces = pattern.split("*")
    if not pieces:
        return pattern == name
    *inner, tail = pieces
    at, end = len(head), len(name) - len(tail)
    if at > end or not name.startswith(head) or not name.endswith(tail):
        return False
    for piece in inner:  # the first place that fits leaves the most for those after it
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def ordered(
    rules: Iterable[_Rule], pattern: Callable[[_Rule], str], priority: Callable[[_Rule], Priority]
) -> tuple[_Rule, ...]:
    """Rules in the order in which they decide: by priority, then the longest pattern; a name is before all patterns.

    Length counts without stars. What is still equal goes by the alphabet, so that every gateway has the same order.
    """

    def place(rule: _Rule) -> tuple[int, bool, int, str]:
        text = pattern(rule)
        return _RANK[priority(rule)], is_glob(text), -len(text.replace("*", "")), text

    return tuple(sorted(rules, key=place))
