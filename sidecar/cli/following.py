"""Watching the gateways take a new configuration."""

from __future__ import annotations

import time

import click
from rich.console import Console

from sidecar.admin.v1 import admin_pb2 as pb
from sidecar.cli.fleet import Fleet
from sidecar.errors import Exit


def follow(gateway: Fleet, region: str, version: int, wait_s: float) -> Exit:
    """Show how many have taken a version, live on a terminal; REFUSED when one of them does not."""
    console = Console(stderr=True)
    request = pb.WatchFollowersRequest(region=region, version=version, timeout_s=wait_s)
    began_s = time.monotonic()
    last = pb.Followers()
    with console.status("waiting for the gateways") as status:
        for last in gateway.stream("WatchFollowers", request, pb.Followers):
            status.update(f"taken by {last.applied} of {last.total} gateways")
    if not last.total:
        click.echo("no gateway is registered: it holds for those that come")
        return Exit.OK
    click.echo(f"taken by {last.applied} of {last.total} {'gateway' if last.total == 1 else 'gateways'}", nl=False)
    click.echo(f" in {time.monotonic() - began_s:.1f} s")
    for refusal in last.refusals:
        click.echo(f"refused by {refusal.gateway} ({refusal.region}): {'; '.join(refusal.reasons)}", err=True)
    silent = last.total - last.applied - len(last.refusals)
    if silent:
        more = ", ..." if silent > len(last.waiting) else ""
        click.echo(f"warning: nothing yet from {', '.join(last.waiting)}{more}", err=True)
    return Exit.REFUSED if last.refusals else Exit.OK
