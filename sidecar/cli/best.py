"""`spangate best`: which collector would be the best to send to."""

from __future__ import annotations

import click
import msgspec

from sidecar.cli import admin as gateway
from sidecar.control.best import Best
from sidecar.errors import Exit
from sidecar.model import Endpoint

EPILOG = """
The score is load_weight x (1 - utilization) + latency_weight / (1 + ms) + capacity_weight x free capacity, with the
weights of `routing`, or those that are given. Exit code 4 says that there is no healthy collector.

\b
Examples:
  spangate best
  spangate best --region eu-west
  spangate best --weights load=0.2,latency=0.8
"""


@click.command("best", epilog=EPILOG)
@click.option("--region", metavar="NAME", help="Look at this region only. [default: the gateway's own first]")
@click.option(
    "--weights",
    metavar="NAME=N,...",
    help="What load, latency and capacity count for, as in load=0.5,latency=0.5. [default: those of `routing`]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as the admin gives it.")
@gateway.option
def command(region: str | None, weights: str | None, as_json: bool, admin: Endpoint) -> int:  # noqa: FBT001  click passes a flag
    """Tell which collector has the best score now, and how the others do."""
    answer = gateway.ask(admin, "/best", Best, region=region, weights=weights)
    if as_json:
        click.echo(msgspec.json.encode(answer))
    else:
        chosen = answer.best
        click.echo(f"{chosen.id} at {chosen.address} in {chosen.region}: {answer.reason}" if chosen else answer.reason)
        for one in answer.candidates:
            click.echo(f"  {one.id:<24}{one.region:<16}{one.score:6.3f}  {one.reason}".rstrip())
    return Exit.OK if answer.best else Exit.NO_BACKEND
