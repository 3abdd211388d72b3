"""The page of the manual on configuration, made from the schema: `python -m sidecar.config.manual` prints it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

from sidecar.config.fleet import FleetSections
from sidecar.config.reference import Field, Setting, fields, settings
from sidecar.config.schema import GatewayConfig, Section
from sidecar.config.wording import ALIASES
from sidecar.errors import Exit

_FLEET_PREFIXES = ("global.", "local.")
_INTRODUCTION = """\
# Configuration

<!-- Made by `python -m sidecar.config.manual > docs/configuration.md`; a test holds it against the schema. -->

Every setting has a default but the backends, so the shortest configuration is one flag:

    spangate run --backend collector-1:4317 --backend collector-2:4317,weight=2

**Places.** A setting is taken from the first of these that has it: a flag of `spangate run`, an environment variable,
the YAML file (`--config FILE`, or `SPANGATE_CONFIG`), the default. A list is taken whole. What the fleet is told
through the store ([below](#the-fleet)) is before all of them. `/config` of the admin shows every value in force and
where it came from. `spangate validate FILE` lists everything that is wrong with a file, with lines.
[spangate.example.yaml](spangate.example.yaml) shows all of it.

**Values.** Durations and sizes have units: `200ms`, `3s`, `1m30s`, `10m`; `64KiB`, `4MiB`, `1GiB` (and `KB`, `MB`,
`GB` in thousands). A plain number is seconds, or bytes. A list may be written on one line with commas. An address is
`HOST:PORT`, with IPv6 in brackets. Unknown and repeated keys are refused. A variable that is set to nothing is not set;
in a file `""` stands for a default that is empty or depends on other settings.

**Backends on one line.** `--backend`, `SPANGATE_BACKENDS` and items of `backends:` may be written as
`HOST:PORT[,weight=W][,name=N][,compression=C][,max_message_bytes=S][,header.NAME=VALUE]`; `SPANGATE_BACKENDS` holds
several with `;` between. A header value with a comma or a semicolon needs the long form.

**Reload.** On SIGHUP the same places are read again. Settings marked `live` apply at once; the others wait for a
restart, and the log says so. A configuration with a problem changes nothing.

**Headers.** The headers of a backend go with every call to it. What clients send as metadata is not forwarded.
"""

_FLEET = """\
## The fleet

What all gateways are to do is one text in the store, put there by `spangate config apply FILE`; what holds in one
region is another, put there by `spangate config apply FILE --region R`. The first begins with `global:`, the second
with `local:`; `spangate validate FILE` tells whose configuration a file is, and everything that is wrong with it.
[fleet.example.yaml](fleet.example.yaml) shows both.

What is written there wins over flags, environment, files and defaults of the gateways; what is not leaves them alone.
Every key is live: it applies at once, in every gateway. A text that does not validate changes nothing.

**Strategies** may also be written by their name, `- Adaptive: {target_qps: 50000}`, and priority rules without
services as `high_priority_rate`, `normal_rate` and `low_priority_rate` of `PriorityBased`. Keys that end in `_ms` take
plain numbers as milliseconds.

**Traces and regions.** A routing rule sends a service to another region, and so the spans of that service away from the
rest of their traces: `validate` says so where rules name several regions.
"""

_EXITS = """\
## Exit codes

| code | meaning |
|---|---|
"""


def page() -> str:
    """The whole page, in Markdown."""
    gateway = _sections(GatewayConfig, "", "Top level")
    fleet = (part for field in fields(FleetSections) for part in _below(field, ""))
    return "\n".join([_INTRODUCTION, *gateway, _FLEET, *fleet, _EXITS + _exits()])


def _sections(section: type[Section], prefix: str, title: str) -> Iterator[str]:
    own = [s for s in settings(section, prefix) if s.path.removeprefix(prefix).isidentifier()]
    of_fleet = prefix.startswith(_FLEET_PREFIXES)
    table = _fleet_table(section, own) if of_fleet else _table(own)
    yield f"##{'#' if of_fleet else ''} {title}\n\n{inspect.getdoc(section)}\n\n{table}"
    for field in fields(section):
        yield from _below(field, prefix)


def _below(field: Field, prefix: str) -> Iterator[str]:
    if field.section is not None:
        path = f"{prefix}{field.key}" + ("[]" if field.many else "")
        yield from _sections(field.section, f"{path}.", f"`{path}`")


def _fleet_table(section: type[Section], rows: list[Setting]) -> str:
    """There are no flags and variables for the fleet, but other names."""
    lines = ["| key | value | default | |", "|---|---|---|---|"]
    for row in rows:
        others = [f"`{name}`" for name, alias in ALIASES.get(section, {}).items() if row.path.endswith(f".{alias.key}")]
        text = row.text + (f" Also {', '.join(others)}." if others else "") + " *live*"
        lines.append(f"| `{row.path}` | {row.noun} | {row.default} | {text} |")
    return "\n".join(lines) + "\n"


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
