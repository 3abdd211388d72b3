"""Schema, manual, example, environment and `--help` say the same."""

from pathlib import Path

import msgspec
from click.testing import CliRunner

from sidecar.cli.run import command
from sidecar.config import defaults
from sidecar.config.load import Inputs, load
from sidecar.config.manual import page
from sidecar.config.reference import BY_DEFAULT, FLAGS, RELOADING, settings
from sidecar.config.schema import GatewayConfig
from sidecar.errors import Exit

DOCS = Path(__file__).parents[2] / "docs"
SETTINGS = list(settings())
PATHS = {setting.path for setting in SETTINGS}


def test_the_manual_is_that_of_this_schema() -> None:
    written = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m sidecar.config.manual > docs/configuration.md"


def test_the_manual_has_every_setting_and_every_exit_code() -> None:
    manual = page()
    assert all(f"| `{setting.path}` |" in manual for setting in SETTINGS)
    assert all(f"| {code.value} | {code.meaning} |" in manual for code in Exit)


def test_every_setting_is_described() -> None:
    assert [setting.path for setting in SETTINGS if not setting.text.endswith(".")] == []


def test_every_default_is_used() -> None:
    """A default that no field has would be a line that lies."""
    constants = {name for name in vars(defaults) if name.isupper()} - {"KIB", "MIB"}
    fields = {setting.path.replace("backends[].", "backend.").replace(".", "_").upper() for setting in SETTINGS}
    assert {name.removesuffix("_S") for name in constants} <= fields


def test_help_has_every_flag_with_default_and_variable() -> None:
    shown = " ".join(CliRunner().invoke(command, ["--help"], terminal_width=1000).output.split())
    flagged = [setting for setting in SETTINGS if setting.flag]
    assert [setting.path for setting in flagged if f"{setting.flag} {setting.metavar}" not in shown] == []
    assert [s.path for s in flagged if s.text.replace("`", "") not in shown or s.variable not in shown] == []
    assert [s.path for s in flagged if s.default and f"default: {s.default};" not in shown] == []
    assert "--config FILE" in shown


def test_flags_and_marks_name_settings() -> None:
    assert FLAGS.keys() <= PATHS
    assert BY_DEFAULT.keys() <= PATHS
    assert all(any(path == live or path.startswith(f"{live}.") for path in PATHS) for live in RELOADING)


def test_every_variable_sets_its_setting() -> None:
    """The default, written as text, is taken from the environment for what it is."""
    environment = {s.variable: s.default for s in SETTINGS if s.variable and s.default and s.path not in BY_DEFAULT}
    answer = load(Inputs(None, environment))
    assert answer.config == GatewayConfig()
    assert {answer.sources.of(s.path).where for s in SETTINGS if s.variable in environment} == environment.keys()
    assert len({setting.variable for setting in SETTINGS}) == sum(1 for s in SETTINGS if s.variable) + 1


def test_the_example_loads_clean_and_shows_everything() -> None:
    example = DOCS / "spangate.example.yaml"
    answer = load(Inputs(example))
    assert answer.warnings == ()
    assert msgspec.structs.replace(answer.config, backends=()) == GatewayConfig(), "but for backends it is the defaults"
    shown = {path.replace("backends[1].", "backends[].") for path in answer.sources.places}
    written = {path for path in shown if answer.sources.of(path.replace("[]", "[1]")).where == str(example)}
    assert PATHS - written == set()
