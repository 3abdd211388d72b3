"""Loading: file, environment and flags as one configuration, with the place of every value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from sidecar.config.decode import Decoder
from sidecar.config.given import DEFAULT, NOTHING, Given, Items, Keys, Origin, Source, Text, overlaid, planted
from sidecar.config.reference import FLAGS, settings
from sidecar.config.schema import GatewayConfig
from sidecar.config.validate import ADVICE, RULES, Rule
from sidecar.errors import ConfigInvalid, Problem

FILE_VARIABLE = "SPANGATE_CONFIG"
TRACEBACK_VARIABLE = "SPANGATE_TRACEBACK"

# Kubernetes puts these into every pod beside a Service called `spangate`.
_SERVICE_LINK = re.compile(r"SPANGATE_(SERVICE_|PORT(_|$))")


@dataclass(frozen=True)
class Inputs:
    """What a configuration is read from. Reading the same inputs again is what a reload is."""

    file: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    """All of it or a part; only `SPANGATE_...` is looked at."""
    flags: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    """Text by the path of the setting, as in `{"delivery.ack": "queued"}`; a flag that repeats gives several."""


@dataclass(frozen=True)
class Sources:
    """Where the values of a configuration came from."""

    inputs: Inputs = Inputs()
    places: Mapping[str, Source] = field(default_factory=dict)

    def of(self, path: str) -> Source:
        """The place of a setting, or of the list or section that it came with."""
        while path and path not in self.places:
            path = re.sub(r"(\.[^.\[]+|\[\d+\]|^[^.\[]+)$", "", path)
        return self.places.get(path, DEFAULT)


@dataclass(frozen=True)
class Loaded:
    """A configuration that can be used, and what its writer should know about it."""

    config: GatewayConfig
    sources: Sources
    warnings: tuple[Problem, ...] = ()


def load(inputs: Inputs, rules: Iterable[Rule] = RULES, advice: Iterable[Rule] = ADVICE) -> Loaded:
    """Read, join and check `inputs`: flag > environment > file > default.

    ConfigInvalid holds every problem of every place, in the order of the file's lines. A configuration without
    backends is no problem here: only who wants to run it needs one.
    """
    problems: list[Problem] = []
    tree = _file(inputs.file, problems) if inputs.file else NOTHING
    tree = overlaid(tree, _environment(inputs.environment))
    tree = overlaid(tree, _flags(inputs.flags))
    decoder = Decoder(problems)
    config = decoder.section(GatewayConfig, tree) or GatewayConfig()
    sources = Sources(inputs, decoder.sources)
    for rule in rules:
        problems += [_placed(problem, sources) for problem in rule.broken(config, tuple(problems))]
    if problems:
        raise ConfigInvalid(sorted(problems, key=lambda problem: (problem.source, problem.line or 0)))
    found = [_placed(problem, sources) for rule in advice for problem in rule.broken(config, ())]
    return Loaded(config, sources, (*found, *_strangers(inputs.environment)))


def _file(file: Path, problems: list[Problem]) -> Keys:
    from sidecar.config import yaml_file  # here, so that who has no file does not pay for PyYAML either

    return yaml_file.read(file, problems)


def _environment(environment: Mapping[str, str]) -> Keys:
    tree = NOTHING
    for setting in settings():
        # Set to nothing is not set: templates write `NAME=` for what they do not have.
        if setting.variable and (text := environment.get(setting.variable)):
            given = Text(text, Source(Origin.ENVIRONMENT, setting.variable))
            tree = overlaid(tree, planted(setting.path, given))
    return tree


def _flags(flags: Mapping[str, str | Sequence[str]]) -> Keys:
    tree = NOTHING
    for path, value in flags.items():
        source = Source(Origin.FLAG, FLAGS[path])
        given: Given = Text(value, source) if isinstance(value, str) else _items(value, source)
        tree = overlaid(tree, planted(path, given))
    return tree


def _items(texts: Sequence[str], source: Source) -> Items:
    return Items(tuple(Text(text, source) for text in texts), source)


def _placed(problem: Problem, sources: Sources) -> Problem:
    source = sources.of(problem.path)
    return problem._replace(line=source.line, source=source.where)


def _strangers(environment: Mapping[str, str]) -> Iterable[Problem]:
    """Variables that look like ours and are not. No reason to refuse: others set them too."""
    known = {setting.variable for setting in settings() if setting.variable} | {FILE_VARIABLE, TRACEBACK_VARIABLE}
    for name in sorted(environment.keys() - known):
        if name.startswith("SPANGATE_") and not _SERVICE_LINK.match(name):
            near = get_close_matches(name, known, n=1)
            yield Problem("", "sets nothing", f"did you mean {near[0]}?" if near else "", None, name)
