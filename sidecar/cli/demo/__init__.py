"""`spangate demo`: a gateway with backends and load beside it, to look at.

    traffic: the stock SDK  --OTLP-->  spangate run  --OTLP-->  backends: grpcio, they decode and count
         |                                 |                         |
         +---- what was acknowledged ------+------ the ledger -------+---- what came -->  compared

Each of the three is a process of its own: none can take another's word for what it counts.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from sidecar.config import defaults
from sidecar.errors import DemoFailed
from sidecar.model import Endpoint

EPILOG = """
What stands behind `--` goes to `spangate run` as it is. Variables of Spangate and of the SDK are left out, so that the
demo is the same everywhere. It ends with 9 when ledger and backends do not agree.

\b
Examples:
  spangate demo
  spangate demo --rate 5000 --sampling-rate 0.25
  spangate demo --seconds 10 --plain -- --workers 2 --compression gzip
"""

NEEDED = ("grpc", "opentelemetry.proto", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.grpc")


def _endpoint(_context: click.Context, _option: click.Parameter, text: str) -> Endpoint:
    try:
        return Endpoint.parse(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} {error}") from None


@click.command("demo", epilog=EPILOG)
@click.option(
    "--listen",
    default=str(defaults.LISTEN[0]),
    callback=_endpoint,
    metavar="HOST:PORT",
    show_default=True,
    help="Where the gateway receives; port 0 takes any free one.",
)
@click.option(
    "--admin",
    default=str(defaults.ADMIN_LISTEN),
    callback=_endpoint,
    metavar="HOST:PORT",
    show_default=True,
    help="Where its admin listens; port 0 takes any free one.",
)
@click.option("--rate", type=click.IntRange(1), default=2000, show_default=True, help="Spans a second that are made.")
@click.option(
    "--sampling-rate",
    type=click.FloatRange(0, 1),
    default=defaults.SAMPLING_RATE,
    show_default=True,
    help="The share of traces that the gateway keeps.",
)
@click.option("--seconds", type=click.FloatRange(0.1), help="End after so long.  [default: at Ctrl-C]")
@click.option("--plain", is_flag=True, help="A line a second, as where the output is no terminal.")
@click.option(
    "--svg", type=click.Path(path_type=Path), metavar="FILE", help="Save the last picture, as for docs/demo.svg."
)
@click.argument("run_options", nargs=-1, type=click.UNPROCESSED, metavar="[-- RUN_OPTIONS]")
def command(
    *,
    listen: Endpoint,
    admin: Endpoint,
    rate: int,
    sampling_rate: float,
    seconds: float | None,
    plain: bool,
    svg: Path | None,
    run_options: tuple[str, ...],
) -> int:
    """Run a gateway with three backends and traffic of the OpenTelemetry SDK, and compare what each has counted.

    Ctrl-C stops the traffic, drains the gateway, and prints the final ledger beside the backends' own counts.
    """
    missing = [name for name in NEEDED if not _installed(name)]
    if missing:
        raise DemoFailed(f"the demo needs {', '.join(missing)}", "pip install 'spangate[demo]'")
    from sidecar.cli.demo.play import Play  # what --help does not need

    options = ("--listen", str(listen), "--admin", str(admin), "--sampling-rate", str(sampling_rate), *run_options)
    return Play(options, rate=rate, seconds=seconds, plain=plain, svg=svg).run()


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
