"""A fleet's configuration as text: read, checked, compared with the one before it, and written again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sidecar.config import yaml_file
from sidecar.config.decode import Decoder
from sidecar.config.fleet import FleetSections, GlobalConfig, LocalConfig
from sidecar.config.fleet_rules import ADVICE, RULES
from sidecar.config.given import Keys
from sidecar.config.kinds import Headers, Many
from sidecar.config.load import Sources
from sidecar.config.reference import fields
from sidecar.config.rules import Rule, broken, in_order
from sidecar.config.schema import Section
from sidecar.config.wording import reworded
from sidecar.errors import ConfigInvalid, Problem

FleetRules = Iterable[Rule[FleetSections]]


@dataclass(frozen=True)
class FleetDocument:
    """What a text says: for all regions, for one of them, or both."""

    everywhere: GlobalConfig | None = None
    local: LocalConfig | None = None
    warnings: tuple[Problem, ...] = ()
    sources: Sources = field(default_factory=Sources)
    """The place of each value, by its path in the schema's words."""

    @property
    def sections(self) -> FleetSections:
        """Without where it came from."""
        return FleetSections(everywhere=self.everywhere, local=self.local)


def read_fleet(text: str, source: str, rules: FleetRules = RULES, advice: FleetRules = ADVICE) -> FleetDocument:
    """What `text` means; problems call it `source`. ConfigInvalid holds every problem, in the order of the lines."""
    problems: list[Problem] = []
    return _meaning(
        yaml_file.parse(text.encode("utf-8", "surrogatepass"), source, problems), source, problems, rules, advice
    )


def load_fleet(file: Path, rules: FleetRules = RULES, advice: FleetRules = ADVICE) -> FleetDocument:
    """What a file means; ConfigInvalid when it cannot be read, too."""
    problems: list[Problem] = []
    return _meaning(yaml_file.read(file, problems), str(file), problems, rules, advice)


def _meaning(tree: Keys, source: str, problems: list[Problem], rules: FleetRules, advice: FleetRules) -> FleetDocument:
    decoder = Decoder(problems, FleetSections)
    words = reworded(FleetSections, tree, "", problems)
    sections = decoder.section(FleetSections, words) or FleetSections()
    sources = Sources(places=decoder.sources)
    if not problems and sections == FleetSections():
        hint = "`global: {}` or `local: {}` says nothing on purpose"
        problems.append(
            Problem("", "says nothing: neither `global:` nor `local:` has anything in it", hint, None, source)
        )
    problems += sources.placed(broken(rules, sections, problems, decoder.shortened))
    if problems:
        raise ConfigInvalid(in_order(problems))
    warnings = sources.placed(problem for each in advice for problem in each.broken(sections))
    return FleetDocument(sections.everywhere, sections.local, tuple(warnings), sources)


def check_succession(old: FleetDocument, new: FleetDocument) -> None:
    """ConfigInvalid when `new` may not come after `old`: a configuration's own `version` never goes back.

    One that gives no version follows anything; the store counts by itself.
    """
    if problems := new.sources.placed(_steps_back(old, new)):
        raise ConfigInvalid(problems)


def _steps_back(old: FleetDocument, new: FleetDocument) -> Iterator[Problem]:
    for key, before, after in (("global", old.everywhere, new.everywhere), ("local", old.local, new.local)):
        if before is None or after is None or before.version is None or after.version is None:
            continue
        if after.version < before.version:
            yield Problem(
                f"{key}.version",
                f"is {after.version}, and {before.version} is in force already",
                "count it up; `spangate config rollback` goes back on purpose",
            )


def shown(section: Section) -> dict[str, Any]:
    """The values in force as a tree that YAML and JSON can write: defaults too, but not what is absent or empty."""
    tree: dict[str, Any] = {}
    for each in fields(type(section)):
        value = getattr(section, each.attribute)
        if value is not None and value != ():
            tree[each.key] = _shown(each.kind, value)
    return tree


def _shown(kind: object, value: Any) -> Any:
    match kind, value:
        case None, Section():
            return shown(value)
        case None, _:
            return [shown(item) for item in value]
        case Many(of), _:
            return [of.show(item) for item in value]
        case Headers() as headers, _:
            return {name: headers.value.show(secret) for name, secret in value.items()}
    return kind.show(value)  # type: ignore[attr-defined]  # a Kind


def write_fleet(everywhere: GlobalConfig | None = None, local: LocalConfig | None = None) -> str:
    """A text that reads as these again, in the schema's own words."""
    import yaml  # not for those who only read a tree

    sections: Mapping[str, Any] = shown(FleetSections(everywhere=everywhere, local=local))
    return str(yaml.safe_dump(sections, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120))
