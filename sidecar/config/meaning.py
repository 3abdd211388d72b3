"""A fleet's configuration as machines read it: JSON of its sections, without what is left at its default.

Reading it is for every gateway at every push, and takes a twentieth of what the same text in YAML takes. It is checked
as the text is: types and names here, then the bounds of each value, then the rules. What was left away stays so, so
that who reads it later, or is of another version, has his own defaults for it, as with the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import msgspec

from sidecar.config.fleet import FleetSections
from sidecar.config.fleet_rules import RULES
from sidecar.config.kinds import Bounded, Choice, Kind, Many, Switch, Unreadable
from sidecar.config.reference import fields
from sidecar.config.rules import Rule, broken
from sidecar.config.schema import Section
from sidecar.errors import ConfigInvalid, Problem

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(FleetSections)


def write(sections: FleetSections) -> bytes:
    """What `read` reads again as the same."""
    return _ENCODER.encode(sections)


def read(data: bytes | msgspec.Raw, source: str, rules: Iterable[Rule[FleetSections]] = RULES) -> FleetSections:
    """The sections; problems call it `source`. ConfigInvalid: what is wrong with the form, or with each value."""
    try:
        sections = _DECODER.decode(data)
    except (ValueError, RecursionError) as error:  # of msgspec too; nested too deep
        raise ConfigInvalid([Problem("", f"does not read: {error}", "", None, source)]) from error
    problems = list(_out_of_bounds(sections, ""))
    problems += broken(rules, sections, problems)
    if not problems and sections == _NOTHING:
        problems.append(Problem("", "says nothing: neither `global` nor `local` has anything in it"))
    if problems:
        raise ConfigInvalid(problem._replace(source=source) for problem in problems)
    return sections


_NOTHING = FleetSections()


class _Look(NamedTuple):
    """How to look at one field of a section."""

    attribute: str
    key: str
    default: Any
    check: Callable[[Any], object] | None
    """Raises Unreadable; None for a section."""
    many: bool


@cache
def _looks(section: type[Section]) -> tuple[_Look, ...]:
    """For the fields that can hold something wrong."""
    looks = []
    for field in fields(section):
        of = field.kind.of if isinstance(field.kind, Many) else field.kind
        if isinstance(of, Switch) or (isinstance(of, Choice) and not of.unfit):  # its type says it all
            continue
        check = None if field.section else _check_of(of)  # type: ignore[arg-type]  # a fleet has no headers
        looks.append(_Look(field.attribute, field.key, field.default, check, field.many or of is not field.kind))
    return tuple(looks)


def _check_of(kind: Kind) -> Callable[[Any], object]:
    """A check of a value that has the right type. Texts and names are their own spelling."""
    return kind.check if isinstance(kind, Bounded) else kind.read


def _out_of_bounds(section: Section, path: str) -> Iterator[Problem]:
    for attribute, key, default, check, many in _looks(type(section)):
        value = getattr(section, attribute)
        if value is default or value is None:
            continue
        inner = f"{path}.{key}" if path else key
        if not many:
            yield from _of_value(value, inner, check)
            continue
        for number, each in enumerate(value):
            yield from _of_value(each, f"{inner}[{number}]", check)


def _of_value(value: Any, path: str, check: Callable[[Any], object] | None) -> Iterator[Problem]:
    if check is None:
        yield from _out_of_bounds(value, path)
        return
    try:
        check(value)
    except Unreadable as error:
        yield Problem(path, error.message, error.hint)
