"""What was written, before anybody asks what it means: a tree of text that knows where each piece came from."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class Origin(StrEnum):
    """Where a value can come from, the strongest first."""

    STORE = "store"
    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


class Source(NamedTuple):
    """The place a value was written."""

    origin: Origin
    where: str = ""
    """The flag, the environment variable, or the file."""
    line: int | None = None
    """The line in the file, from 1."""


DEFAULT = Source(Origin.DEFAULT)


class Text(NamedTuple):
    """A scalar, as it was typed."""

    text: str
    source: Source


class Empty(NamedTuple):
    """A key with nothing behind it."""

    source: Source


class Items(NamedTuple):
    """A list."""

    items: tuple[Given, ...]
    source: Source


class Keys(NamedTuple):
    """A mapping. Its keys are unique: who reads them refuses a second one."""

    keys: Mapping[str, Given]
    source: Source


Given = Text | Empty | Items | Keys

NOTHING = Keys({}, DEFAULT)


def planted(path: str, given: Given) -> Keys:
    """`given` as it would stand in a file that sets nothing but `path`, which is dotted: `delivery.ack`."""
    key, _, below = path.partition(".")
    return Keys({key: planted(below, given) if below else given}, given.source)


def overlaid(below: Keys, above: Keys) -> Keys:
    """Both trees as one: mappings are joined, everything else is replaced by what is `above`."""
    keys = dict(below.keys)
    for key, given in above.keys.items():
        under = keys.get(key)
        keys[key] = overlaid(under, given) if isinstance(under, Keys) and isinstance(given, Keys) else given
    return Keys(keys, above.source)
