"""Rows of text, to look at."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text


def printed(names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table. Where the output is no terminal lines are as long as they are: something else reads them."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    terminal = sys.stdout.isatty()
    for name in names:
        table.add_column(name, no_wrap=not terminal)
    for row in rows:
        table.add_row(*map(Text, row))
    if terminal:
        Console().print(table)
        return
    console = Console(width=10_000)
    with console.capture() as lines:
        console.print(table)
    for line in lines.get().splitlines():
        click.echo(line.rstrip())
