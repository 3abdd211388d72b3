"""The command `spangate` as a person gives it, run inside this process: starting an interpreter for each takes long."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

from sidecar.cli import ended


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def spangate(*arguments: str) -> Said:
    """Runs `spangate ARGUMENTS`."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = ended([*arguments])
    return Said(code, out.getvalue(), err.getvalue())
