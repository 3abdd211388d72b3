"""`spangate validate`: what is wrong with a file, all of it, by itself: environment and flags stay out."""

from __future__ import annotations

from pathlib import Path

import click

from sidecar.cli import complaint
from sidecar.config.load import Inputs, load
from sidecar.errors import Problem

EPILOG = """
Exits with 0 when the file can be used, and with 2 when it has a problem. Warnings change nothing.

\b
Example:
  spangate validate spangate.yaml
"""


@click.command("validate", epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> None:
    """List all problems of a configuration FILE, with path, line and a hint where one can be given."""
    loaded = load(Inputs(file))
    for problem in loaded.warnings:
        complaint.warn(problem)
    if not loaded.config.backends:
        complaint.warn(
            Problem("backends", "names none", "`run` will want --backend or SPANGATE_BACKENDS", None, str(file))
        )
    config, count = loaded.config, len(loaded.config.backends)
    click.echo(f"{file}: valid, {count} backend{'' if count == 1 else 's'}, routing {config.routing.strategy}")
