"""A YAML file as a tree of text. YAML gives the structure and the lines; what a scalar means is the schema's affair."""

from __future__ import annotations

from pathlib import Path

import yaml

from sidecar.config.given import NOTHING, Empty, Given, Items, Keys, Origin, Source, Text
from sidecar.errors import Problem

LIMIT_BYTES = 1 << 20
LIMIT_NODES = 20_000
LIMIT_DEPTH = 20
"""Aliases repeat what they name: a small file can mean a tree without end."""

# libyaml where PyYAML was built with it: the same nodes in a twentieth of the time, which counts on every push.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "map", "seq")
}
_NULL, _MERGE = "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"


def read(path: Path, problems: list[Problem]) -> Keys:
    """What stands in the file at `path`. Adds to `problems` whatever is wrong with it, and goes on where it can."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return _Reader(str(path), problems).refuse((error.strerror or str(error)).lower())
    return parse(data, str(path), problems)


def parse(data: bytes, name: str, problems: list[Problem]) -> Keys:
    """What stands in `data`, which problems call `name`."""
    reader = _Reader(name, problems)
    if len(data) > LIMIT_BYTES:
        return reader.refuse(f"is larger than {LIMIT_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return reader.refuse("is not UTF-8", line=data.count(b"\n", 0, error.start) + 1)
    if stray := yaml.reader.Reader.NON_PRINTABLE.search(text):
        return reader.refuse("is no YAML: a control character", line=text.count("\n", 0, stray.start()) + 1)
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        if "nesting depth" in (error.problem or ""):  # libyaml's bound is 1,000
            return reader.refuse("is nested too deeply", line=line)
        return reader.refuse(f"is no YAML: {error.problem or error.context}", line=line)
    except RecursionError:
        return reader.refuse("is nested too deeply")
    if root is None or root.tag == _NULL:
        return reader.refuse("is empty", hint="there must be something in it; a gateway on defaults needs no file")
    if not isinstance(root, yaml.MappingNode):
        return reader.refuse("must hold `key: value` pairs", line=root.start_mark.line + 1)
    given = reader.given(root, "", root.start_mark.line + 1)
    return given if isinstance(given, Keys) else NOTHING


class _Reader:
    def __init__(self, name: str, problems: list[Problem]) -> None:
        self._name = name
        self._problems = problems
        self._nodes = 0
        self._overflown = False

    def refuse(self, message: str, *, path: str = "", line: int | None = None, hint: str = "") -> Keys:
        self._problems.append(Problem(path, message, hint, line, self._name))
        return NOTHING

    def given(self, node: yaml.Node, path: str, line: int) -> Given:
        """The tree under `node`; `line` is where its key stands, which is where people look."""
        source = Source(Origin.FILE, self._name, line)
        self._nodes += 1
        if self._overflown or self._nodes > LIMIT_NODES or path.count("[") + path.count(".") > LIMIT_DEPTH:
            return self._overflow(source)
        if node.tag not in _TAGS:
            self.refuse(f"has a tag, {node.tag!r}; tags mean nothing here", path=path, line=line)
            return Empty(source)
        match node:
            case yaml.MappingNode():
                return Keys(self._keys(node, path), source)
            case yaml.SequenceNode():
                items = (self.given(item, f"{path}[{i}]", _line(item)) for i, item in enumerate(node.value))
                return Items(tuple(items), source)
            case _:
                return Empty(source) if node.tag == _NULL else Text(node.value, source)

    def _overflow(self, source: Source) -> Empty:
        if not self._overflown:
            message = f"means more than {LIMIT_NODES} values, or goes deeper than {LIMIT_DEPTH} levels"
            self.refuse(message, line=source.line, hint="is an alias inside what it names?")
        self._overflown = True
        return Empty(source)

    def _keys(self, node: yaml.MappingNode, path: str) -> dict[str, Given]:
        keys: dict[str, Given] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = _line(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self.refuse("has a key that is no text", path=path, line=line)
                continue
            key = key_node.value
            inner = f"{path}.{key}" if path else key
            if key_node.tag == _MERGE:
                self.refuse("merge keys are not supported", path=inner, line=line, hint="write the keys out")
            elif key in first:
                self.refuse(f"is here twice; the other is in line {first[key]}", path=inner, line=line)
            else:
                first[key] = line
                keys[key] = self.given(value_node, inner, line)
        return keys


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
