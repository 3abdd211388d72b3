"""`spangate status`: the live view on a running gateway, or one look at it for scripts."""

from __future__ import annotations

import time
from contextlib import suppress

import click
import msgspec
from rich.console import Console
from rich.live import Live

from sidecar.cli import admin as gateway
from sidecar.cli import view
from sidecar.errors import GatewayUnreachable
from sidecar.model import Endpoint
from sidecar.snapshot import GatewayStatus, LedgerSnapshot

EPILOG = """
Where the output is no terminal, `--once` goes without saying.

\b
Examples:
  spangate status
  spangate status --admin 127.0.0.1:13133 --once
  spangate status --json | jq .ledger.difference
"""


@click.command("status", epilog=EPILOG)
@click.option("--once", is_flag=True, help="Print one look, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print status and ledger as the admin gives them, and end.")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    default=1.0,
    show_default=True,
    help="Time between looks.",
)
@gateway.option
def command(once: bool, as_json: bool, interval_s: float, admin: Endpoint) -> None:  # noqa: FBT001  click passes flags
    """Watch a running gateway: rates, fleet, load and forecast, backends, the ledger. Ctrl-C ends it."""
    console = Console()
    if as_json:
        document = {page: gateway.ask(admin, f"/{page}", msgspec.Raw) for page in ("status", "ledger")}
        click.echo(msgspec.json.encode(document))
    elif once or not console.is_terminal:
        console.print(view.frame(*_look(admin)))
    else:
        with suppress(KeyboardInterrupt):
            _watch(admin, interval_s, console)


def _look(admin: Endpoint) -> tuple[GatewayStatus, LedgerSnapshot]:
    return gateway.ask(admin, "/status", GatewayStatus), gateway.ask(admin, "/ledger", LedgerSnapshot)


def _watch(admin: Endpoint, interval_s: float, console: Console) -> None:
    """A gateway that is not there at first is an error; one that goes away may come back, and is waited for."""
    last = _look(admin)
    with Live(view.frame(*last), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(interval_s)
            try:
                last, notice = _look(admin), ""
            except GatewayUnreachable as error:
                notice = error.message
            live.update(view.frame(*last, notice), refresh=True)
