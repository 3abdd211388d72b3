"""Schema, manual, example, environment and `--help` say the same."""

import re
from pathlib import Path

import msgspec
from click.testing import CliRunner

from sidecar.cli.run import command
from sidecar.config import defaults
from sidecar.config.fleet import ADAPTIVE_MAX_RATE, ADAPTIVE_MIN_RATE, FleetSections
from sidecar.config.fleet_file import load_fleet
from sidecar.config.load import Inputs, load
from sidecar.config.manual import page
from sidecar.config.reference import BY_DEFAULT, FLAGS, RELOADING, settings
from sidecar.config.schema import GatewayConfig
from sidecar.errors import Exit

DOCS = Path(__file__).parents[2] / "docs"
SETTINGS = list(settings())
PATHS = {setting.path for setting in SETTINGS}
FLEET = list(settings(FleetSections))
FLEET_PATHS = {setting.path for setting in FLEET}


def test_the_manual_is_that_of_this_schema() -> None:
    written = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m sidecar.config.manual > docs/configuration.md"


def test_the_manual_has_every_setting_and_every_exit_code() -> None:
    manual = page()
    assert all(f"| `{setting.path}` |" in manual for setting in SETTINGS + FLEET)
    assert all(f"| {code.value} | {code.meaning} |" in manual for code in Exit)


def test_every_setting_is_described() -> None:
    assert [setting.path for setting in SETTINGS + FLEET if not setting.text.endswith(".")] == []


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
    assert BY_DEFAULT.keys() <= PATHS | FLEET_PATHS
    bounds = (BY_DEFAULT[f"global.sampling_strategies[].{key}_rate"] for key in ("min", "max"))
    assert tuple(map(float, bounds)) == (ADAPTIVE_MIN_RATE, ADAPTIVE_MAX_RATE)
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


def test_the_example_of_a_fleet_loads_clean_and_shows_everything() -> None:
    example = DOCS / "fleet.example.yaml"
    document = load_fleet(example)
    assert document.warnings == ()
    written = {path for path, source in document.sources.places.items() if source.where == str(example)}
    absent = FLEET_PATHS - {re.sub(r"\[\d+\]", "[]", path) for path in written}
    assert absent == {"global.sampling_strategies[].rate"}, "it belongs to `fixed`, which is only spoken of"
