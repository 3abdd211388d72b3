"""`spangate region`: the regions of a fleet."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from sidecar.cli import fleet
from sidecar.cli.fleet import Fleet
from sidecar.cli.way import Given, way_options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.admin.v1 import admin_pb2 as pb

EPILOG = """
A region is there as soon as somebody registers in it; one that is created by hand is there before.

\b
Examples:
  spangate region create eu-west-1
  spangate region list
  spangate region delete eu-west-1
"""


@click.group("region", epilog=EPILOG)
def command() -> None:
    """Create, list and delete the regions of the fleet."""


@command.command("create", epilog="\b\nExample:\n  spangate region create eu-west-1")
@click.argument("region")
@way_options
def create(region: str, given: Given) -> None:
    """Make REGION known before anybody is in it."""
    from sidecar.admin.v1 import admin_pb2 as pb

    with Fleet(given) as gateway:
        request = pb.CreateRegionRequest(region=region, author=fleet.author())
        gateway.call("CreateRegion", request, pb.CreateRegionResponse)
    click.echo(f"region {region} is created")


@command.command("list", epilog="\b\nExample:\n  spangate region list")
@way_options
def list_regions(given: Given) -> None:
    """List the regions, and who is in them."""
    from sidecar.admin.v1 import admin_pb2 as pb

    with Fleet(given) as gateway:
        answer = gateway.call("ListRegions", pb.ListRegionsRequest(), pb.ListRegionsResponse)
    if not answer.regions:
        click.echo("there is no region yet", err=True)
        return
    from sidecar.cli.fleet_table import printed

    rows = [
        (
            region.name,
            _counted(region.gateways),
            _counted(region.collectors),
            str(region.config_version or "-"),
            "by hand" if region.created else "by registration",
        )
        for region in answer.regions
    ]
    printed(("region", "gateways", "collectors", "config", "known"), rows)


@command.command("delete", epilog="\b\nExample:\n  spangate region delete eu-west-1")
@click.argument("region")
@click.option("--force", is_flag=True, help="Even while somebody is registered in it.")
@way_options
def delete(*, region: str, force: bool, given: Given) -> None:
    """Forget REGION and its configuration. The history stays: `config rollback --region` brings it back."""
    from sidecar.admin.v1 import admin_pb2 as pb

    with Fleet(given) as gateway:
        gateway.call("DeleteRegion", pb.DeleteRegionRequest(region=region, force=force), pb.DeleteRegionResponse)
    click.echo(f"region {region} is deleted")


def _counted(members: Iterable[pb.Member]) -> str:
    """How many, and how many of them are not healthy."""
    counts = Counter(member.health for member in members)
    healthy = counts.pop("healthy", 0)
    return ", ".join(
        [str(healthy + counts.total()), *(f"{count} {health}" for health, count in sorted(counts.items()))]
    )
