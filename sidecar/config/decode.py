"""From what was written to what it means. Nothing ends at the first problem: it is noted, and the default stands in."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec

from sidecar.config import backend_text
from sidecar.config.given import DEFAULT, NOTHING, Empty, Given, Items, Keys, Source, Text
from sidecar.config.kinds import Headers, Kind, Many, Unreadable
from sidecar.config.reference import Field, fields, settings
from sidecar.config.schema import Section
from sidecar.errors import Problem
from sidecar.model import Secret

S = TypeVar("S", bound=Section)

_SHAPES = {Text: "a single value", Empty: "nothing", Items: "a list", Keys: "a mapping"}


class Decoder:
    """Turns trees of text into sections; gathers `problems`, and in `sources` where each value came from."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        self.sources: dict[str, Source] = {}

    def section(self, section: type[S], given: Given, path: str = "") -> S | None:
        """The section that `given` means; None when a field that must be given is not, which is a problem too."""
        if not isinstance(given, Keys):
            if not isinstance(given, Empty):
                names = ", ".join(field.key for field in fields(section))
                self._shape(path, "a mapping", given, f"its keys: {names}")
            given = Keys({}, given.source)
        known = {field.key: field for field in fields(section)}
        for key, stranger in given.keys.items():
            if key not in known:
                self._unknown(key, known, path, stranger.source)
        values, whole = {}, True
        for field in known.values():
            inner = f"{path}.{field.key}" if path else field.key
            written = given.keys.get(field.key)
            if written is None and field.default is msgspec.NODEFAULT and field.section is None:
                self._refuse(inner, "is missing", given.source)
            values[field.attribute] = value = self._value(field, written, inner)
            whole = whole and value is not msgspec.NODEFAULT
        return section(**values) if whole else None

    def _value(self, field: Field, given: Given | None, path: str) -> Any:
        if field.section is not None and not field.many:
            return self.section(field.section, NOTHING if given is None else given, path)
        self.sources[path] = DEFAULT if given is None else given.source
        if given is None:
            return field.default
        if field.section is not None:
            return self._sections(field.section, given, path)
        match field.kind:
            case Many(of):
                return self._scalars(of, given, path, field.default)
            case Headers():
                return self._headers(field.kind, given, path)
            case kind if kind is not None:
                return self._scalar(kind, given, path, field.default)

    def _scalar(self, kind: Kind, given: Given, path: str, default: Any) -> Any:
        self.sources[path] = given.source
        if isinstance(given, Empty):
            self._refuse(path, "has no value", given.source)
        elif not isinstance(given, Text):
            self._shape(path, "a single value", given)
        else:
            try:
                return kind.read(given.text.strip())
            except Unreadable as error:
                self._refuse(path, error.message, given.source, error.hint)
        return default

    def _scalars(self, kind: Kind, given: Given, path: str, default: Any) -> Any:
        if isinstance(given, Text):
            given = Items(
                tuple(Text(text, given.source) for text in given.text.split(",") if text.strip()), given.source
            )
        if not isinstance(given, Items):
            self._shape(path, "a list", given)
            return default
        before = len(self.problems)
        values = tuple(self._scalar(kind, item, f"{path}[{i}]", None) for i, item in enumerate(given.items))
        return values if len(self.problems) == before else default

    def _sections(self, section: type[S], given: Given, path: str) -> tuple[S, ...]:
        if isinstance(given, Text):
            given = backend_text.backends(given, path, self.problems)
        if isinstance(given, Keys):
            self._shape(path, "a list", given, "begin each with a dash")
        found = []
        for i, item in enumerate(given.items if isinstance(given, Items) else ()):
            inner = f"{path}[{i}]"
            long = backend_text.backend(item, inner, self.problems) if isinstance(item, Text) else item
            found.append(self.section(section, long, inner))
        return tuple(one for one in found if one is not None)

    def _headers(self, kind: Headers, given: Given, path: str) -> dict[str, Secret]:
        if not isinstance(given, Keys):
            if not isinstance(given, Empty):
                self._shape(path, "a mapping", given, "write NAME: VALUE")
            return {}
        values: dict[str, Secret] = {}
        for key, item in given.keys.items():
            inner = f"{path}.{key}"
            try:
                name = kind.read_name(key)
            except Unreadable as error:
                self._refuse(inner, error.message, item.source)
                continue
            if name in values:
                self._refuse(inner, "is here twice: case makes no difference in header names", item.source)
            values[name] = self._scalar(kind.value, item, f"{path}.{name}", Secret(""))
        return values

    def _unknown(self, key: str, known: dict[str, Field], path: str, source: Source) -> None:
        elsewhere = {setting.path.rpartition(".")[2]: setting.path for setting in settings()}
        near = get_close_matches(key, known, n=1) or [
            elsewhere[k] for k in get_close_matches(key, elsewhere, n=1, cutoff=0.8)
        ]
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
        self._refuse(f"{path}.{key}" if path else key, "is no setting", source, hint)

    def _shape(self, path: str, wanted: str, given: Given, hint: str = "") -> None:
        self._refuse(path, f"must be {wanted}, not {_SHAPES[type(given)]}", given.source, hint)

    def _refuse(self, path: str, message: str, source: Source, hint: str = "") -> None:
        self.problems.append(Problem(path, message, hint, source.line, source.where))
