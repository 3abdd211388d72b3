"""`spangate run`: the configuration from file, environment and flags, then the supervisor until it has drained."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from sidecar.config.load import FILE_VARIABLE, Inputs, load
from sidecar.config.reference import Setting, settings
from sidecar.errors import NoBackend, NotBuilt
from sidecar.telemetry import log

EPILOG = """
Every setting has an environment variable too, and all of them are in docs/configuration.md. A flag wins over the
environment, the environment over the file. SIGHUP reads all three again; SIGTERM and Ctrl-C drain.

\b
Examples:
  spangate run --backend collector-1:4317
  spangate run --config spangate.yaml --workers 2 --log-format json
  spangate run --backend a:4317,weight=2 --backend b:4317 --routing weighted_round_robin
  SPANGATE_BACKENDS='a:4317;b:4317,header.api-key=KEY' spangate run --sampling-rate 0.1
"""


def _option(setting: Setting) -> click.Option:
    known = "; ".join(
        part for part in (f"default: {setting.default}" if setting.default else "", setting.variable) if part
    )
    choices = f" One of {setting.noun}." if setting.metavar == "NAME" else ""
    return click.Option(
        [setting.flag, _parameter(setting)],
        metavar=setting.metavar,
        multiple=setting.several,
        help=f"{setting.text.replace('`', '')}{choices} [{known}]",
    )


def _parameter(setting: Setting) -> str:
    return setting.flag.removeprefix("--").replace("-", "_")


FLAGGED = [setting for setting in settings() if setting.flag]


def run(config: Path | None, **given: Any) -> int:
    """Load and run. Flags come as they were typed: the configuration tells what is wrong with them, all at once."""
    flags = {setting.path: given[_parameter(setting)] for setting in FLAGGED if given[_parameter(setting)]}
    loaded = load(Inputs(config, dict(os.environ), flags))
    if loaded.config.needs_backends:
        raise NoBackend
    log.configure(loaded.config.log.level, loaded.config.log.format)
    for problem in loaded.warnings:
        log.logger("config").warning(problem.message, setting=problem.path, where=problem.where, hint=problem.hint)
    try:
        supervisor = import_module("sidecar.supervisor")
    except ImportError as error:
        if (error.name or "").startswith("sidecar._native"):
            raise NotBuilt(str(error)) from error
        raise
    code: int = supervisor.run(loaded.config, loaded.sources)
    return code


command = click.Command(
    "run",
    callback=run,
    params=[
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path),
            envvar=FILE_VARIABLE,
            metavar="FILE",
            help=f"The YAML file; docs/spangate.example.yaml shows one. [{FILE_VARIABLE}]",
        ),
        *map(_option, FLAGGED),
    ],
    help="Run the gateway: receive OTLP/gRPC, route and sample by trace id, forward, account for every item.",
    epilog=EPILOG,
)
