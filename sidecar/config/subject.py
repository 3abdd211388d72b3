"""Whose configuration a file is: a gateway's, or a fleet's. Told by its top-level keys, also when they are misspelt."""

from __future__ import annotations

from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path

from sidecar.config import yaml_file
from sidecar.config.fleet import FleetSections, GlobalConfig, LocalConfig
from sidecar.config.given import Keys
from sidecar.config.reference import fields
from sidecar.config.schema import GatewayConfig, Section
from sidecar.config.wording import ALIASES
from sidecar.errors import ConfigInvalid, Problem


class Subject(StrEnum):
    """Who a configuration is for."""

    GATEWAY = "gateway"
    FLEET = "fleet"


def _keys(section: type[Section]) -> frozenset[str]:
    return frozenset(field.key for field in fields(section)) | frozenset(ALIASES.get(section, ()))


_GATEWAY = _keys(GatewayConfig)
_FLEET = _keys(FleetSections)
_INSIDE = (_keys(GlobalConfig) | _keys(LocalConfig)) - _GATEWAY
"""What would be a fleet's one level deeper."""


def subject_of(file: Path) -> Subject:
    """Whose configuration the file holds. ConfigInvalid when it mixes both; one that cannot be read is a gateway's."""
    return _subject(yaml_file.read(file, []))


def is_of_gateway(text: str, source: str) -> bool:
    """Whether a text that was meant for a fleet is, by its keys, a gateway's. ConfigInvalid when it mixes both."""
    tree = yaml_file.parse(text.encode("utf-8", "surrogatepass"), source, [])
    return bool(tree.keys.keys() & _GATEWAY) and _subject(tree) is Subject.GATEWAY


def _subject(tree: Keys) -> Subject:
    ours, theirs = tree.keys.keys() & _GATEWAY, tree.keys.keys() & _FLEET
    if ours and theirs:
        raise ConfigInvalid([_mixed(tree, key) for key in sorted(theirs)])
    looks = tree.keys and not ours and all(key in _INSIDE or get_close_matches(key, _FLEET) for key in tree.keys)
    return Subject.FLEET if theirs or looks else Subject.GATEWAY


def _mixed(tree: Keys, key: str) -> Problem:
    other = next(other for other in tree.keys if other in _GATEWAY)
    source = tree.keys[key].source
    return Problem(
        key,
        f"is for a fleet, and {other} in line {tree.keys[other].source.line} for a gateway",
        "make two files of it: one for `spangate run --config`, one for `spangate config apply`",
        source.line,
        source.where,
    )
