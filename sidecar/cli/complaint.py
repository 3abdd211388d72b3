"""How an error is told to a person: one line that says what, one that says what to do, and the exit code."""

from __future__ import annotations

import os
import traceback
import zlib

import click

from sidecar.errors import ConfigInvalid, Exit, Problem, SpangateError


def of(error: SpangateError) -> Exit:
    """Tell an error that we foresaw."""
    _tell("error", error.message, error.hint)
    if isinstance(error, ConfigInvalid):
        for problem in error.problems:
            _tell_problem(problem)
    return error.exit_code


def of_usage(error: click.ClickException) -> Exit:
    """Tell what is wrong with a command line. A group without a command is asked for its help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return Exit.USAGE
    context = error.ctx if isinstance(error, click.UsageError) else None
    message = error.format_message().rstrip(".")
    _tell("error", message[:1].lower() + message[1:], f"see `{context.command_path} --help`" if context else "")
    return Exit.USAGE


def of_surprise(error: Exception) -> Exit:
    """Tell an error that nobody foresaw. Its id is that of the place: two reports with one id are one fault."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{type(error).__name__} {frames[-1].name} {frames[-1].line}" if frames else type(error).__name__
    told = (str(error).splitlines() or [""])[0]
    if os.environ.get("SPANGATE_TRACEBACK"):
        traceback.print_exception(error)
    _tell(
        "error",
        f"internal error {zlib.crc32(place.encode()):08x}: {type(error).__name__}{f': {told}' if told else ''}",
        "set SPANGATE_TRACEBACK=1 to see where",
    )
    return Exit.INTERNAL


def warn(problem: Problem) -> None:
    """Tell what is allowed, and unwise."""
    _tell("warning", str(problem), problem.hint)


def _tell_problem(problem: Problem) -> None:
    click.echo(f"  {problem}", err=True)
    if problem.hint:
        click.echo(f"    hint: {problem.hint}", err=True)


def _tell(kind: str, message: str, hint: str) -> None:
    click.echo(f"{kind}: {message}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)
