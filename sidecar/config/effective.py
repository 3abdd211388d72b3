"""The configuration as it is in force, for people: every value, where it came from, and no secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sidecar.config.given import Origin
from sidecar.config.kinds import Headers, Many
from sidecar.config.load import Sources
from sidecar.config.reference import fields
from sidecar.config.schema import GatewayConfig, Section
from sidecar.snapshot import SettingValue, Shown


def effective(
    config: GatewayConfig, sources: Sources, store_paths: Mapping[str, str] | None = None
) -> tuple[SettingValue, ...]:
    """All settings in the order of the schema, those of backends by index: `backends[0].address`.

    `store_paths` says which of them the store has set, and where they stand there: `global v12`.
    """
    return tuple(_placed(path, shown, sources, store_paths or {}) for path, shown in _shown(config, ""))


def _placed(path: str, shown: Shown, sources: Sources, store_paths: Mapping[str, str]) -> SettingValue:
    if path in store_paths:
        return SettingValue(path, shown, str(Origin.STORE), store_paths[path])
    source = sources.of(path)
    line = f":{source.line}" if source.line is not None else ""
    return SettingValue(path, shown, str(source.origin), f"{source.where}{line}")


def _shown(section: Section, prefix: str) -> Iterator[tuple[str, Shown]]:
    for field in fields(type(section)):
        value, path = getattr(section, field.attribute), prefix + field.key
        match field.kind:
            case None if field.many:
                for i, inner in enumerate(value):
                    yield from _shown(inner, f"{path}[{i}].")
            case None:
                yield from _shown(value, f"{path}.")
            case Many(of):
                yield path, [of.show(item) for item in value]
            case Headers() as headers:
                for name, secret in value.items():
                    yield f"{path}.{name}", headers.value.show(secret)
            case kind:
                yield path, None if value is None else kind.show(value)
