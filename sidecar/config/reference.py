"""The schema as a table: what the decoder walks, and what manual, `--help` and environment names are made from."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

from sidecar.config.kinds import Headers, Kind, Many
from sidecar.config.schema import GatewayConfig, Section

FLAGS = {
    "listen": "--listen",
    "backends": "--backend",
    "routing.strategy": "--routing",
    "workers": "--workers",
    "region": "--region",
    "id": "--id",
    "advertise": "--advertise",
    "coordination.store": "--store",
    "coordination.endpoints": "--etcd",
    "delivery.ack": "--ack",
    "delivery.compression": "--compression",
    "sampling.rate": "--sampling-rate",
    "admin.listen": "--admin",
    "log.level": "--log-level",
    "log.format": "--log-format",
}
"""The flags of `spangate run`, in the order of `--help`, by the setting that each one sets."""

RELOADING = ("backends", "routing", "sampling", "delivery.compression", "limits.items", "log.level")
"""What a reload (SIGHUP) applies, with all that is below it. The rest needs a restart."""

BY_DEFAULT = {
    "backends[].name": "the address",
    "backends[].compression": "as `delivery.compression`",
    "routing.members": "`static` where there are backends, or neither etcd nor a collector; else `registry`",
    "routing.ownership": "`trace` where the strategy can, else `none`",
    "id": "host name and port",
    "advertise": "host name and port",
    "admin.socket": "`spangate.sock` in `coordination.state_dir`",
    "coordination.state_dir": "`$XDG_STATE_HOME/spangate/ID`",
    "collector.id": "the endpoint",
    "global.sampling_rate": "as each gateway has it",
    "global.sampling_strategies[].min_rate": "0.01",
    "global.sampling_strategies[].max_rate": "1",
    "global.sampling_strategies[].fairness": "uniform",
    "global.rate_limiting.max_qps": "no limit",
    "global.rate_limiting.per_service_limit": "no limit",
    "global.routing.strategy": "as each gateway has it",
    "global.routing.load_weight": "as each gateway has it",
    "global.routing.latency_weight": "as each gateway has it",
    "global.routing.capacity_weight": "as each gateway has it",
    "local.regional_sampling_rate": "as `global.sampling_rate`",
}
"""Defaults that depend on other settings, of a gateway or of a fleet."""


class Field(NamedTuple):
    """One field of a section: a scalar of some `kind`, a `section` of its own, or `many` sections.

    One whose default is None may be left away, and then means nothing.
    """

    attribute: str
    key: str
    default: Any
    """msgspec.NODEFAULT when it must be given."""
    kind: Kind | Many | Headers | None = None
    section: type[Section] | None = None
    many: bool = False

    @property
    def may_be_empty(self) -> bool:
        """Whether `""` may be written: where that is the default, or there is none."""
        return self.default is None or self.default == ""


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
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (arg for arg in get_args(hint) if arg is not NoneType)
    if get_origin(hint) is Annotated:
        return Field(info.name, info.encode_name, default, kind=get_args(hint)[1])
    many = get_origin(hint) is tuple
    return Field(info.name, info.encode_name, default, section=get_args(hint)[0] if many else hint, many=many)


def _setting(section: type[Section], field: Field, path: str) -> Setting:
    return Setting(
        path=path,
        noun=field.kind.noun if field.kind else f"list of {_plural(field)}",
        default=BY_DEFAULT.get(path) or shown_default(field),
        text=_docs(section.__module__).get((section.__name__, field.attribute), ""),
        flag=FLAGS.get(path, ""),
        metavar=_metavar(field),
        several=field.many or isinstance(field.kind, Many),
        variable="" if "[]" in path else variable_of(path),
        reloads=reloads(path),
    )


def _plural(field: Field) -> str:
    return field.section.plural if field.section else ""


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
        case _ if field.default is msgspec.NODEFAULT or field.default is None or not field.kind:
            return ""
        case Many(of):
            return ", ".join(str(of.show(item)) for item in field.default)
        case Headers():
            return ""
        case kind:
            shown = kind.show(field.default)
            return str(shown).lower() if isinstance(shown, bool) else str(shown)


@cache
def _docs(module: str) -> dict[tuple[str, str], str]:
    """The docstring under each field of a module, by class and attribute. Python keeps them in the source only."""
    docs = {}
    for node in ast.parse(inspect.getsource(sys.modules[module])).body:
        if isinstance(node, ast.ClassDef):
            for field, below in zip(node.body, node.body[1:], strict=False):
                match field, below:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        docs[node.name, name] = inspect.cleandoc(text)
    return docs
