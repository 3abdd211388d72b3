"""Running the command inside the test."""

from typing import NamedTuple

import pytest

from sidecar.cli import ended


class Ended(NamedTuple):
    """How a command line ended."""

    code: int
    out: str
    err: str


def spangate(capsys: pytest.CaptureFixture[str], *arguments: str) -> Ended:
    """Run `spangate ARGUMENTS`."""
    capsys.readouterr()
    code = ended([*arguments])
    out, err = capsys.readouterr()
    return Ended(code, out, err)
