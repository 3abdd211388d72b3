"""`spangate version`: what is installed, and which defences it has. It answers on a half-built checkout too."""

from __future__ import annotations

import platform
from importlib import import_module

import click

from sidecar.errors import NotBuilt
from sidecar.model import release

EPILOG = """
\b
Example:
  spangate version
"""


@click.command("version", epilog=EPILOG)
def command() -> None:
    """Print versions, and which flood defences the HTTP/2 library has."""
    click.echo(f"spangate    {release()}")
    click.echo(f"python      {platform.python_version()} ({platform.machine()})")
    try:
        features = native_features()
    except NotBuilt as error:
        click.echo(f"native      {error.message}\n            {error.hint}")
        return
    click.echo("native      built")
    click.echo(f"libnghttp2  {features.pop('library', 'unknown')}")
    for name, value in features.items():
        told = (
            {True: "yes", False: "no, counters of ours stand in"}.get(value, value)
            if isinstance(value, bool)
            else value
        )
        click.echo(f"            {name.replace('_', ' ')}: {told}")


def native_features() -> dict[str, object]:
    """What the HTTP/2 library can do. NotBuilt when the native extension is missing."""
    try:
        server = import_module("sidecar._native.server")
    except ImportError as error:
        raise NotBuilt(str(error)) from error
    return dict(server.nghttp2_features())
