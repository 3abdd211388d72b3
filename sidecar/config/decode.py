"""From what was written to what it means. Nothing ends at the first problem: it is noted, and the default stands in."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec

from sidecar.config import backend_text
from sidecar.config.given import DEFAULT, NOTHING, Empty, Given, Items, Keys, Source, Text
from sidecar.config.kinds import Headers, Kind, Many, Unreadable
from sidecar.config.reference import Field, fields, settings
from sidecar.config.schema import BackendConfig, GatewayConfig, Section
from sidecar.errors import Problem
from sidecar.model import Secret

S = TypeVar("S", bound=Section)

HINTS_MOST = 100
"""Problems after which nobody looks for what may have been meant: it takes time, and a text can hold thousands."""
_SHAPES = {Text: "a single value", Empty: "nothing", Items: "a list", Keys: "a mapping"}


class Decoder:
    """Turns trees of text into sections; gathers `problems`, and in `sources` where each value came from.

    `root` is the whole that is decoded: what is written in the wrong section of it gets a hint.
    """

    def __init__(self, problems: list[Problem], root: type[Section] = GatewayConfig) -> None:
        self.problems = problems
        self.sources: dict[str, Source] = {}
        self.shortened: list[str] = []
        """Paths of lists in which a section is missing, because it could not be made."""
        self._root = root

    def section(self, section: type[S], given: Given, path: str = "") -> S | None:
        """The section that `given` means; None when a field that must be given is not, which is a problem too."""
        if not isinstance(given, Keys):
            if not isinstance(given, Empty):
                names = ", ".join(field.key for field in fields(section))
                self._shape(path, "a mapping", given, f"its keys: {names}")
            given = Keys({}, given.source)
        if path and given is not NOTHING:
            self.sources[path] = given.source
        known = {field.key: field for field in fields(section)}
        for key, stranger in given.keys.items():
            if key not in known:
                self._unknown(section, key, path, stranger.source)
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
            if field.default is None and (given is None or isinstance(given, Empty)):
                return None
            return self.section(field.section, NOTHING if given is None else given, path)
        self.sources[path] = DEFAULT if given is None else given.source
        if given is None:
            return field.default
        if field.section is not None:
            return self._sections(field.section, given, path)
        if field.may_be_empty and isinstance(given, Text) and not given.text.strip():
            return field.default
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
        short = section is BackendConfig
        if short and isinstance(given, Text):
            given = backend_text.backends(given, path, self.problems)
        if isinstance(given, Keys | Text):
            self._shape(path, "a list", given, "begin each with a dash")
        found = []
        for i, item in enumerate(given.items if isinstance(given, Items) else ()):
            inner = f"{path}[{i}]"
            long = backend_text.backend(item, inner, self.problems) if short and isinstance(item, Text) else item
            found.append(self.section(section, long, inner))
        if None in found:
            self.shortened.append(path)
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

    def _unknown(self, section: type[Section], key: str, path: str, source: Source) -> None:
        hint = self._meant(section, key) if len(self.problems) < HINTS_MOST else ""
        self._refuse(f"{path}.{key}" if path else key, "is no setting", source, hint)

    def _meant(self, section: type[Section], key: str) -> str:
        if key in section.strangers:
            return section.strangers[key]
        known = [field.key for field in fields(section)]
        elsewhere = {setting.path.rpartition(".")[2]: setting.path for setting in settings(self._root)}
        near = [] if key in elsewhere else get_close_matches(key, known, n=1)
        near += [elsewhere[k] for k in get_close_matches(key, elsewhere, n=1, cutoff=0.8)]
        return f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"

    def _shape(self, path: str, wanted: str, given: Given, hint: str = "") -> None:
        self._refuse(path, f"must be {wanted}, not {_SHAPES[type(given)]}", given.source, hint)

    def _refuse(self, path: str, message: str, source: Source, hint: str = "") -> None:
        self.problems.append(Problem(path, message, hint, source.line, source.where))
