"""The schema as a table: what the decoder walks, and what manual, `--help` and environment names are made from."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from sidecar.config import schema
from sidecar.config.kinds import Headers, Kind, Many
from sidecar.config.schema import GatewayConfig, Section

FLAGS = {
    "listen": "--listen",
    "backends": "--backend",
    "routing.strategy": "--routing",
    "workers": "--workers",
    "delivery.ack": "--ack",
    "delivery.compression": "--compression",
    "sampling.rate": "--sampling-rate",
    "admin.listen": "--admin",
    "log.level": "--log-level",
    "log.format": "--log-format",
}
"""The flags of `spangate run`, in the order of `--help`, by the setting that each one sets."""

RELOADING = ("backends", "routing", "sampling", "delivery.compression", "log.level")
"""What a reload (SIGHUP) applies, with all that is below it. The rest needs a restart."""

BY_DEFAULT = {
    "backends[].name": "the address",
    "backends[].compression": "as `delivery.compression`",
    "routing.ownership": "`trace` where the strategy can, else `none`",
}
"""Defaults that depend on other settings."""


class Field(NamedTuple):
    """One field of a section: a scalar of some `kind`, a `section` of its own, or `many` sections."""

    attribute: str
    key: str
    default: Any
    """msgspec.NODEFAULT when it must be given."""
    kind: Kind | Many | Headers | None = None
    section: type[Section] | None = None
    many: bool = False


class Setting(NamedTuple):
    """A row of the manual."""

    path: str
    """As in `delivery.max_wait`; inside a list of sections as in `backends[].weight`."""
    noun: str
    default: str
    text: str
    flag: str
    metavar: str
    several: bool
    """Whether it is a list, and its flag may be repeated."""
    variable: str
    """The environment variable that sets it; empty inside a list."""
    reloads: bool


@cache
def fields(section: type[Section]) -> tuple[Field, ...]:
    """The fields of a section, in the order of the schema."""
    hints = get_type_hints(section, include_extras=True)
    return tuple(_field(info, hints[info.name]) for info in msgspec.structs.fields(section))


def settings(section: type[Section] = GatewayConfig, prefix: str = "") -> Iterator[Setting]:
    """Every setting, in the order of the schema."""
    for field in fields(section):
        path = prefix + field.key
        if field.section is None:
            yield _setting(section, field, path)
        elif field.many:
            yield _setting(section, field, path)
            yield from settings(field.section, f"{path}[].")
        else:
            yield from settings(field.section, f"{path}.")


def variable_of(path: str) -> str:
    """The environment variable of a setting: `delivery.max_wait` is `SPANGATE_DELIVERY_MAX_WAIT`."""
    return "SPANGATE_" + path.upper().replace(".", "_")


def reloads(path: str) -> bool:
    """Whether a reload applies a setting; indices in the path do not matter."""
    return any(path == live or path.startswith((f"{live}.", f"{live}[")) for live in RELOADING)


def _field(info: msgspec.structs.FieldInfo, hint: Any) -> Field:
    made = info.default_factory is not msgspec.NODEFAULT
    default = info.default_factory() if made else info.default
    if get_origin(hint) is Annotated:
        return Field(info.name, info.encode_name, default, kind=get_args(hint)[1])
    many = get_origin(hint) is tuple
    return Field(info.name, info.encode_name, default, section=get_args(hint)[0] if many else hint, many=many)


def _setting(section: type[Section], field: Field, path: str) -> Setting:
    return Setting(
        path=path,
        noun=field.kind.noun if field.kind else "list of backends",
        default=BY_DEFAULT.get(path) or shown_default(field),
        text=_docs().get((section.__name__, field.attribute), ""),
        flag=FLAGS.get(path, ""),
        metavar=_metavar(field),
        several=field.many or isinstance(field.kind, Many),
        variable="" if "[]" in path else variable_of(path),
        reloads=reloads(path),
    )


def _metavar(field: Field) -> str:
    match field.kind:
        case None:
            return "HOST:PORT[,weight=W]"
        case Many(of):
            return of.metavar
        case Headers():
            return ""
        case kind:
            return kind.metavar


def shown_default(field: Field) -> str:
    """The default as it would stand in a file; empty when there is none to show."""
    match field.kind:
        case _ if field.default is msgspec.NODEFAULT or not field.kind:
            return ""
        case Many(of):
            return ", ".join(str(of.show(item)) for item in field.default)
        case Headers():
            return ""
        case kind:
            shown = kind.show(field.default)
            return str(shown).lower() if isinstance(shown, bool) else str(shown)


@cache
def _docs() -> dict[tuple[str, str], str]:
    """The docstring under each field, by class and attribute. Python keeps them in the source only."""
    docs = {}
    for node in ast.parse(inspect.getsource(schema)).body:
        if isinstance(node, ast.ClassDef):
            for field, below in zip(node.body, node.body[1:], strict=False):
                match field, below:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        docs[node.name, name] = inspect.cleandoc(text)
    return docs
