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
from sidecar.config.rules import Rule, broken, in_order
from sidecar.config.schema import GatewayConfig
from sidecar.config.validate import ADVICE, RULES
from sidecar.errors import ConfigInvalid, Problem

FILE_VARIABLE = "SPANGATE_CONFIG"
TRACEBACK_VARIABLE = "SPANGATE_TRACEBACK"

# Those of the commands that change a fleet, which a gateway's environment may have too.
_COMMAND = re.compile(r"SPANGATE_ADMIN_(GRPC|TOKEN_FILE|CA_FILE|CERT_FILE|KEY_FILE)")
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
            path = _above(path)
        return self.places.get(path, DEFAULT)

    def placed(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems, each with the place of the setting that it blames; for a default, of the section around it."""
        found = [(problem, self._written(problem.path)) for problem in problems]
        return [problem._replace(line=source.line, source=source.where) for problem, source in found]

    def _written(self, path: str) -> Source:
        while (source := self.of(path)) == DEFAULT and path:
            path = _above(path)
        return source


@dataclass(frozen=True)
class Loaded:
    """A configuration that can be used, and what its writer should know about it."""

    config: GatewayConfig
    sources: Sources
    warnings: tuple[Problem, ...] = ()


def load(
    inputs: Inputs, rules: Iterable[Rule[GatewayConfig]] = RULES, advice: Iterable[Rule[GatewayConfig]] = ADVICE
) -> Loaded:
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
    problems += sources.placed(broken(rules, config, problems, decoder.shortened))
    if problems:
        raise ConfigInvalid(in_order(problems))
    found = sources.placed(problem for each in advice for problem in each.broken(config))
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


def _above(path: str) -> str:
    """The list or section that a path is in."""
    return re.sub(r"(\.[^.\[]+|\[\d+\]|^[^.\[]+)$", "", path)


def _items(texts: Sequence[str], source: Source) -> Items:
    return Items(tuple(Text(text, source) for text in texts), source)


def _strangers(environment: Mapping[str, str]) -> Iterable[Problem]:
    """Variables that look like ours and are not. No reason to refuse: others set them too."""
    known = {setting.variable for setting in settings() if setting.variable} | {FILE_VARIABLE, TRACEBACK_VARIABLE}
    for name in sorted(environment.keys() - known):
        if name.startswith("SPANGATE_") and not (_SERVICE_LINK.match(name) or _COMMAND.fullmatch(name)):
            near = get_close_matches(name, known, n=1)
            yield Problem("", "sets nothing", f"did you mean {near[0]}?" if near else "", None, name)
