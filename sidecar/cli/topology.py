"""`spangate topology`: the fleet as its store has it."""

from __future__ import annotations

import time
from contextlib import suppress

import click
import msgspec
from rich.console import Console
from rich.live import Live

from sidecar.cli import admin as gateway
from sidecar.cli import fleet_view
from sidecar.control.topology import Topology
from sidecar.coord.store import StoreError
from sidecar.errors import GatewayUnreachable
from sidecar.model import Endpoint

EPILOG = """
\b
Examples:
  spangate topology
  spangate topology --watch
  spangate topology --json | jq '.regions[].totals.received'
"""


@click.command("topology", epilog=EPILOG)
@click.option("--watch", is_flag=True, help="Look again and again. Ctrl-C ends it.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as the admin gives it.")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.2),
    metavar="SECONDS",
    default=2.0,
    show_default=True,
    help="Time between looks.",
)
@gateway.option
def command(watch: bool, as_json: bool, interval_s: float, admin: Endpoint) -> None:  # noqa: FBT001  click passes flags
    """Show the fleet: regions, collectors, gateways, load, health, target and actual rates. Any gateway can tell."""
    if as_json:
        click.echo(msgspec.json.encode(gateway.ask(admin, "/topology", msgspec.Raw)))
        return
    console = Console()
    found = gateway.ask(admin, "/topology", Topology)
    if not watch:
        console.print(fleet_view.frame(found))
        return
    with suppress(KeyboardInterrupt), Live(fleet_view.frame(found), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(interval_s)
            try:
                found, notice = gateway.ask(admin, "/topology", Topology), ""
            except (GatewayUnreachable, StoreError) as error:
                notice = error.message
            live.update(fleet_view.frame(found, notice), refresh=True)
