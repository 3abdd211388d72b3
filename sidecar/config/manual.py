"""The page of the manual on configuration, made from the schema: `python -m sidecar.config.manual` prints it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

from sidecar.config.reference import Setting, fields, settings
from sidecar.config.schema import GatewayConfig, Section
from sidecar.errors import Exit

_INTRODUCTION = """\
# Configuration

<!-- Made by `python -m sidecar.config.manual > docs/configuration.md`; a test holds it against the schema. -->

Every setting has a default but the backends, so the shortest configuration is one flag:

    spangate run --backend collector-1:4317 --backend collector-2:4317,weight=2

**Places.** A setting is taken from the first of these that has it: a flag of `spangate run`, an environment variable,
the YAML file (`--config FILE`, or `SPANGATE_CONFIG`), the default. A list is taken whole. `/config` of the admin shows
every value in force and where it came from. `spangate validate FILE` lists everything that is wrong with a file, with
lines. [spangate.example.yaml](spangate.example.yaml) shows all of it.

**Values.** Durations and sizes have units: `200ms`, `3s`, `1m30s`, `10m`; `64KiB`, `4MiB`, `1GiB` (and `KB`, `MB`,
`GB` in thousands). A plain number is seconds, or bytes. A list may be written on one line with commas. An address is
`HOST:PORT`, with IPv6 in brackets. Unknown and repeated keys are refused. A variable that is set to nothing is not set.

**Backends on one line.** `--backend`, `SPANGATE_BACKENDS` and items of `backends:` may be written as
`HOST:PORT[,weight=W][,name=N][,compression=C][,max_message_bytes=S][,header.NAME=VALUE]`; `SPANGATE_BACKENDS` holds
several with `;` between. A header value with a comma or a semicolon needs the long form.

**Reload.** On SIGHUP the same places are read again. Settings marked `live` apply at once; the others wait for a
restart, and the log says so. A configuration with a problem changes nothing.

**Headers.** The headers of a backend go with every call to it. What clients send as metadata is not forwarded.
"""

_EXITS = """\
## Exit codes

| code | meaning |
|---|---|
"""


def page() -> str:
    """The whole page, in Markdown."""
    return "\n".join([_INTRODUCTION, *_sections(GatewayConfig, "", "Top level"), _EXITS + _exits()])


def _sections(section: type[Section], prefix: str, title: str) -> Iterator[str]:
    own = [s for s in settings(section, prefix) if s.path.removeprefix(prefix).isidentifier()]
    yield f"## {title}\n\n{inspect.getdoc(section)}\n\n{_table(own)}"
    for field in fields(section):
        if field.section is not None:
            path = f"{prefix}{field.key}" + ("[]" if field.many else "")
            yield from _sections(field.section, f"{path}.", f"`{path}`")


def _table(rows: list[Setting]) -> str:
    lines = ["| setting | value | default | flag and variable | |", "|---|---|---|---|---|"]
    for row in rows:
        names = "<br>".join(f"`{name}`" for name in (row.flag, row.variable) if name)
        text = row.text + (" *live*" if row.reloads else "")
        lines.append(f"| `{row.path}` | {row.noun} | {row.default} | {names} | {text} |")
    return "\n".join(lines) + "\n"


def _exits() -> str:
    return "".join(f"| {code.value} | {code.meaning} |\n" for code in Exit)


if __name__ == "__main__":
    sys.stdout.write(page())
