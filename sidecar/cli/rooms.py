"""A command group that knows its commands by name, and opens the module of one only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class Rooms(click.Group):
    """`rooms` maps the name of a command to its line in `--help`; the module is `sidecar.cli.<name>`."""

    def __init__(self, *arguments: Any, rooms: Mapping[str, str], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._rooms = rooms

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(self._rooms)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        if cmd_name not in self._rooms:
            return None
        command: click.Command = import_module(f"sidecar.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(self._rooms.items()))
