"""A reload: what of a new configuration applies at once, and what has to wait for a restart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

import msgspec

from sidecar.config.reference import fields, reloads
from sidecar.config.rules import Rule, broken
from sidecar.config.schema import GatewayConfig, Section
from sidecar.config.validate import RULES
from sidecar.errors import ConfigInvalid

S = TypeVar("S", bound=Section)


class Reloaded(NamedTuple):
    """What is in force after a reload."""

    config: GatewayConfig
    live: tuple[str, ...]
    """Paths of settings that changed."""
    restart: tuple[str, ...]
    """Paths of settings that were to change, and have kept their value."""


def reloaded(old: GatewayConfig, new: GatewayConfig, rules: Iterable[Rule[GatewayConfig]] = RULES) -> Reloaded:
    """`old` with all of `new` that a reload applies. ConfigInvalid when the mixture breaks a rule."""
    live: list[str] = []
    restart: list[str] = []
    config = _joined(old, new, "", live, restart)
    if problems := broken(rules, config):
        raise ConfigInvalid(problems)
    return Reloaded(config, tuple(live), tuple(restart))


def _joined(old: S, new: S, prefix: str, live: list[str], restart: list[str]) -> S:
    taken = {}
    for field in fields(type(old)):
        path = prefix + field.key
        before, after = getattr(old, field.attribute), getattr(new, field.attribute)
        if field.section is not None and not field.many:
            taken[field.attribute] = _joined(before, after, f"{path}.", live, restart)
        elif before != after:
            (live if reloads(path) else restart).append(path)
            taken[field.attribute] = after if reloads(path) else before
    return msgspec.structs.replace(old, **taken)
