"""`spangate config`: the configuration that a whole fleet, or one of its regions, works by."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sidecar.cli import complaint, fleet
from sidecar.cli.fleet import Fleet
from sidecar.cli.way import Given, way_options
from sidecar.errors import ConfigInvalid, Exit, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.admin.v1 import admin_pb2 as pb

EPILOG = """
Any gateway of the fleet will do: all of them work on the same store. FILE is `-` for standard input.

\b
Examples:
  spangate config apply fleet.yaml --comment "less of batch-*"
  spangate config apply eu.yaml --region eu --expect 4
  spangate config diff fleet.yaml
  spangate config history && spangate config rollback 7
"""
_DURATION = "10s"


@click.group("config", epilog=EPILOG)
def command() -> None:
    """Read, check and change the configuration of the fleet. Changes reach every gateway at once."""


def _file(_context: click.Context, _option: click.Parameter, path: Path) -> tuple[str, str]:
    """Name and text of the file."""
    name = "standard input" if str(path) == "-" else str(path)
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise ConfigInvalid([Problem("", f"cannot be read: {error.strerror}", "", None, name)]) from None
    try:
        return name, data.decode()
    except UnicodeDecodeError as error:
        raise ConfigInvalid(
            [Problem("", f"is no UTF-8: {error.reason} at byte {error.start}", "", None, name)]
        ) from None


def _seconds(_context: click.Context, _option: click.Parameter, text: str) -> float:
    from sidecar.config.units import read_duration_s

    try:
        return read_duration_s(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}; write 10s or 500ms") from None


file_argument = click.argument("file", type=click.Path(path_type=Path), callback=_file)
wait_option = click.option(
    "--wait",
    "wait_s",
    default=_DURATION,
    show_default=True,
    metavar="TIME",
    callback=_seconds,
    help="How long to watch the gateways take it; 0 is not at all.",
)
expect_option = click.option(
    "--expect", type=click.IntRange(min=0), metavar="N", help="Only if version N is in force; 0: only if there is none."
)
comment_option = click.option("--comment", default="", metavar="TEXT", help="Kept with the version.")


@command.command("get", epilog="\b\nExamples:\n  spangate config get > fleet.yaml\n  spangate config get --version 3")
@fleet.region_option
@click.option("--version", type=click.IntRange(min=1), metavar="N", help="A former version.")
@click.option("--effective", is_flag=True, help="What it means, with the defaults that it leaves in force.")
@way_options
def get(*, region: str, version: int | None, effective: bool, given: Given) -> None:
    """Print the configuration in force, as it was written."""
    from sidecar.admin.v1 import admin_pb2 as pb

    with Fleet(given) as gateway:
        config = gateway.call("GetConfig", pb.GetConfigRequest(region=region, version=version or 0), pb.Config)
    if effective:
        from sidecar.config.fleet_file import read_fleet, write_fleet

        document = read_fleet(config.body, f"version {config.version}")
        click.echo(write_fleet(document.everywhere, document.local), nl=False)
        return
    click.echo(config.body, nl=not config.body.endswith("\n"))


@command.command("validate", epilog="\b\nExample:\n  spangate config validate fleet.yaml")
@file_argument
@fleet.region_option
@way_options
def validate(file: tuple[str, str], region: str, given: Given) -> None:
    """List all problems that the gateway sees in FILE. Nothing is changed."""
    from sidecar.admin.failure import problem_in
    from sidecar.admin.v1 import admin_pb2 as pb

    name, text = file
    request = pb.ValidateConfigRequest(region=region, body=text, source=name)
    with Fleet(given) as gateway:
        answer = gateway.call("ValidateConfig", request, pb.ValidateConfigResponse)
    _warn(answer.warnings)
    if answer.problems:
        raise ConfigInvalid(map(problem_in, answer.problems))
    click.echo(f"{name}: valid for {_scope(region)}")


@command.command(
    "apply", epilog="\b\nExamples:\n  spangate config apply fleet.yaml\n  spangate config apply - < eu.yaml"
)
@file_argument
@fleet.region_option
@comment_option
@expect_option
@wait_option
@way_options
def apply(*, file: tuple[str, str], region: str, comment: str, expect: int | None, wait_s: float, given: Given) -> int:
    """Put FILE in force, and tell how many gateways have taken it.

    Ends with 11 when somebody else was faster, or when a gateway refuses it.
    """
    from sidecar.admin.v1 import admin_pb2 as pb

    name, text = file
    request = pb.ApplyConfigRequest(
        region=region, body=text, source=name, author=fleet.author(), comment=comment, expected_version=expect
    )
    with Fleet(given) as gateway:
        return _told(gateway, region, gateway.call("ApplyConfig", request, pb.ApplyConfigResponse), wait_s)


@command.command("rollback", epilog="\b\nExample:\n  spangate config rollback 7 --comment 'back to Friday'")
@click.argument("version", type=click.IntRange(min=1))
@fleet.region_option
@comment_option
@expect_option
@wait_option
@way_options
def rollback(*, version: int, region: str, comment: str, expect: int | None, wait_s: float, given: Given) -> int:
    """Apply the text of a former VERSION again, as a new version."""
    from sidecar.admin.v1 import admin_pb2 as pb

    request = pb.RollbackConfigRequest(
        region=region, version=version, author=fleet.author(), comment=comment, expected_version=expect
    )
    with Fleet(given) as gateway:
        return _told(gateway, region, gateway.call("RollbackConfig", request, pb.ApplyConfigResponse), wait_s)


@command.command("diff", epilog="\b\nExample:\n  spangate config diff fleet.yaml")
@file_argument
@fleet.region_option
@way_options
def diff(file: tuple[str, str], region: str, given: Given) -> None:
    """Show how FILE differs from what is in force."""
    from sidecar.admin.v1 import admin_pb2 as pb

    name, text = file
    request = pb.DiffConfigRequest(region=region, body=text, source=name)
    with Fleet(given) as gateway:
        lines = gateway.call("DiffConfig", request, pb.DiffConfigResponse).diff.splitlines()
    for line in lines:
        click.secho(line, fg={"+": "green", "-": "red", "@": "cyan"}.get(line[:1]))
    if not lines:
        click.echo(f"{name} is what is in force for {_scope(region)}", err=True)


@command.command("history", epilog="\b\nExample:\n  spangate config history --region eu")
@fleet.region_option
@way_options
def history(region: str, given: Given) -> None:
    """List the versions that are kept, the latest first."""
    from sidecar.admin.v1 import admin_pb2 as pb

    with Fleet(given) as gateway:
        answer = gateway.call(
            "ListConfigHistory", pb.ListConfigHistoryRequest(region=region), pb.ListConfigHistoryResponse
        )
    if not answer.versions:
        click.echo(f"{_scope(region)} has never had a configuration", err=True)
        return
    from sidecar.cli.fleet_table import printed

    rows = [(str(one.version), _time(one.applied_unix_s), one.author, one.comment) for one in answer.versions]
    printed(("version", "applied", "by", "comment"), rows)


@command.command("watch", epilog="\b\nExample:\n  spangate config watch --region eu")
@fleet.region_option
@way_options
def watch(region: str, given: Given) -> None:
    """Print each configuration as it comes into force.

    The present one is the first; all are YAML documents. Ctrl-C ends it.
    """
    from sidecar.admin.v1 import admin_pb2 as pb

    with Fleet(given) as gateway, suppress(KeyboardInterrupt):
        for config in gateway.stream("WatchConfig", pb.WatchConfigRequest(region=region), pb.Config):
            click.echo(f"---\n# {_scope(region)} version {config.version}, revision {config.revision}")
            comment = f": {config.comment}" if config.comment else ""
            click.echo(f"# {config.author or 'somebody'} at {_time(config.applied_unix_s)}{comment}")
            click.echo(config.body, nl=not config.body.endswith("\n"))


def _told(gateway: Fleet, region: str, applied: pb.ApplyConfigResponse, wait_s: float) -> int:
    """What became of a change; the exit code."""
    _warn(applied.warnings)
    news = "is in force" if applied.changed else "is in force already, nothing has changed"
    click.echo(f"{_scope(region)}: version {applied.version} {news} (revision {applied.revision})")
    if not wait_s:
        return Exit.OK
    from sidecar.cli.following import follow

    return follow(gateway, region, applied.version, wait_s)


def _warn(warnings: Iterable[pb.Problem]) -> None:
    from sidecar.admin.failure import problem_in

    for warning in warnings:
        complaint.warn(problem_in(warning))


def _scope(region: str) -> str:
    return f"region {region}" if region else "global"


def _time(unix_s: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
