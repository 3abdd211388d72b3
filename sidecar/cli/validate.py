"""`spangate validate`: what is wrong with a file, all of it, by itself: environment and flags stay out."""

from __future__ import annotations

from pathlib import Path

import click

from sidecar.cli import complaint
from sidecar.config.fleet_file import load_fleet
from sidecar.config.load import Inputs, load
from sidecar.config.subject import Subject, subject_of
from sidecar.errors import Problem

EPILOG = """
A file with `global:` or `local:` is a fleet's, for `spangate config apply`; any other is a gateway's, for
`spangate run --config`.

Exits with 0 when the file can be used, and with 2 when it has a problem. Warnings change nothing.

\b
Examples:
  spangate validate spangate.yaml
  spangate validate fleet.yaml
"""


@click.command("validate", epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> None:
    """List all problems of a configuration FILE, with path, line and a hint where one can be given."""
    told = _fleet(file) if subject_of(file) is Subject.FLEET else _gateway(file)
    click.echo(f"{file}: {told}")


def _gateway(file: Path) -> str:
    loaded = load(Inputs(file))
    for problem in loaded.warnings:
        complaint.warn(problem)
    if loaded.config.needs_backends:
        complaint.warn(
            Problem("backends", "names none", "`run` will want --backend or SPANGATE_BACKENDS", None, str(file))
        )
    config = loaded.config
    return f"valid for a gateway: {_counted(len(config.backends), 'backend')}, routing {config.routing.strategy}"


def _fleet(file: Path) -> str:
    document = load_fleet(file)
    for problem in document.warnings:
        complaint.warn(problem)
    parts = []
    if (everywhere := document.everywhere) is not None:
        strategies = ", ".join(strategy.type for strategy in everywhere.sampling_strategies) or "no strategy"
        parts.append(f"global ({strategies}; {_counted(len(everywhere.routing_rules), 'routing rule')})")
    if document.local is not None:
        parts.append("local")
    return f"valid for a fleet: {', '.join(parts)}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
