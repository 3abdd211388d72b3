"""A backend on one line, for flags, environment and lazy files: `HOST:PORT[,key=value]...`, `;` between several.

    collector-1:4317,weight=2,name=blue,compression=gzip,max_message_bytes=8MiB,header.api-key=secret

A header whose value holds `,` or `;` needs the long form of the file.
"""

from __future__ import annotations

from sidecar.config.given import Given, Items, Keys, Source, Text
from sidecar.errors import Problem

_HEADER = "header."


def backends(given: Text, path: str, problems: list[Problem]) -> Items:
    """All backends in one text. Adds to `problems` what cannot be split; meaning is not looked at."""
    texts = (text for text in given.text.split(";") if text.strip())
    return Items(
        tuple(backend(Text(text, given.source), f"{path}[{i}]", problems) for i, text in enumerate(texts)),
        given.source,
    )


def backend(given: Text, path: str, problems: list[Problem]) -> Keys:
    """One backend, as the mapping that it would be in a file."""
    address, *options = parts = [part.strip() for part in given.text.split(",")]
    keys: dict[str, Given] = {"address": Text(address, given.source)} if "=" not in address else {}
    headers: dict[str, Given] = {}
    for option in options if keys else parts:
        key, equals, value = (part.strip() for part in option.partition("="))
        into, name = (headers, key.removeprefix(_HEADER)) if key.startswith(_HEADER) else (keys, key)
        if not (equals and name):
            # What is no `key=value` may be the rest of a secret with a comma in it: it is not repeated.
            _refuse(path, "has an option that is not `key=value`", given.source, problems)
        elif name in into:
            _refuse(f"{path}.{key}", "is here twice", given.source, problems)
        else:
            into[name] = Text(value, given.source)
    if headers:
        keys["headers"] = Keys(headers, given.source)
    return Keys(keys, given.source)


def _refuse(path: str, message: str, source: Source, problems: list[Problem]) -> None:
    hint = "one backend is HOST:PORT[,weight=W][,name=N][,compression=C][,header.NAME=VALUE]"
    problems.append(Problem(path, message, hint, source.line, source.where))
