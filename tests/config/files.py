"""Loading from text in tests."""

from pathlib import Path
from textwrap import dedent

import pytest

from sidecar.config.load import Inputs, Loaded, load
from sidecar.errors import ConfigInvalid, Problem


def written(folder: Path, text: str) -> Path:
    """A file with `text`, which may be indented and begin with a line break."""
    file = folder / "spangate.yaml"
    file.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return file


def loaded(folder: Path, text: str, **environment: str) -> Loaded:
    """What the text means, with these variables."""
    return load(Inputs(written(folder, text), environment))


def problems(file: Path) -> list[Problem]:
    """What is wrong with the file; there has to be something."""
    with pytest.raises(ConfigInvalid) as caught:
        load(Inputs(file))
    return list(caught.value.problems)


def lines(found: list[Problem]) -> dict[str, int | None]:
    """The line of each problem by its path."""
    return {problem.path: problem.line for problem in found}
