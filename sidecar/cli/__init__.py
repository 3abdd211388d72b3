"""The command `spangate`. Only click is imported here: each command brings its own when it is called for."""

from __future__ import annotations

import sys

import click

from sidecar.cli import complaint
from sidecar.cli.rooms import Rooms
from sidecar.errors import Exit, SpangateError

COMMANDS = {
    "run": "Run the gateway.",
    "validate": "List all problems of a configuration file.",
    "status": "Watch a running gateway.",
    "explain": "Tell where a trace or a service would go, kept or not, and why.",
    "topology": "Show the fleet: who is there, and how they do.",
    "best": "Tell which collector would be the best to send to.",
    "config": "Read, check and change the configuration of the fleet.",
    "region": "Create, list and delete the regions of the fleet.",
    "register": "Register a collector that has no gateway beside it.",
    "demo": "Run a gateway with backends and load beside it, to look at.",
    "version": "Print versions, and which defences the native library has.",
}
"""The commands: each is `command` of the module of its name."""

EPILOG = """
\b
Examples:
  spangate demo
  spangate run --backend collector-1:4317 --backend collector-2:4317,weight=2
  spangate validate spangate.yaml && spangate run --config spangate.yaml
  spangate status --once
  spangate config apply fleet.yaml

Exit codes: 0 is well, 2 says that the configuration or the command line is wrong; docs/configuration.md has them all.
"""


@click.group(
    cls=Rooms,
    rooms=COMMANDS,
    epilog=EPILOG,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.pass_context
def command(context: click.Context) -> None:
    """An OpenTelemetry gateway: receives OTLP/gRPC, routes and samples every span by its trace id, accounts for all.

    Point SDKs and collectors at it, and name the collectors behind it as backends.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(Exit.USAGE)


def main() -> None:
    """The console script."""
    sys.exit(ended(sys.argv[1:]))


def ended(arguments: list[str]) -> int:
    """Run a command line and return its exit code. Errors are told on standard error; none comes out."""
    try:
        code = command.main(arguments, prog_name="spangate", standalone_mode=False)
    except click.ClickException as error:
        return complaint.of_usage(error)
    except SpangateError as error:
        return complaint.of(error)
    except (KeyboardInterrupt, click.Abort):
        return Exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001  the last resort: a person gets one line, and the way to see more
        return complaint.of_surprise(error)
    return code if isinstance(code, int) else Exit.OK
