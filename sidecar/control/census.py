"""Who is there: what is announced under `regions/`, read as a whole. Pure functions of the store's entries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from sidecar.control.records import CollectorRecord, ConfigState, GatewayRecord, ServiceInfo
from sidecar.coord.keys import Keys
from sidecar.coord.store import KeyValue

WAITING_SHOWN = 20


class Refusal(msgspec.Struct, frozen=True):
    """A gateway that does not take a version, and why."""

    gateway: str
    region: str
    reasons: tuple[str, ...]


class Followers(msgspec.Struct, frozen=True, kw_only=True):
    """How far the gateways have followed a version of a configuration. A later one counts as having taken it."""

    applied: int = 0
    total: int = 0
    refusals: tuple[Refusal, ...] = ()
    waiting: tuple[str, ...] = ()
    """Ids of those that have said neither; the first few."""

    @property
    def complete(self) -> bool:
        """Whether all have said something."""
        return self.applied + len(self.refusals) == self.total


class RegionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """`regions/R/info`: a region that was created by hand."""

    author: str = ""
    created_unix_s: float = 0.0


class RegionMembers(msgspec.Struct, kw_only=True):
    """A region and who is in it."""

    name: str
    created: bool = False
    """By hand."""
    gateways: list[ServiceInfo] = []
    collectors: list[ServiceInfo] = []
    config_version: int = 0
    """Of its own configuration; 0 when it has none."""


def regions_of(keys: Keys, entries: Iterable[KeyValue]) -> dict[str, RegionMembers]:
    """Every region that has an entry, by name."""
    found: dict[str, RegionMembers] = {}
    for region, kind, entry in _parted(keys, entries):
        members = found.setdefault(region, RegionMembers(name=region))
        if kind == "info":
            members.created = True
        elif kind == "gateways" and (gateway := _record(entry, GatewayRecord)):
            members.gateways.append(gateway.service)
        elif kind == "collectors" and (collector := _record(entry, CollectorRecord)):
            members.collectors.append(collector.service)
    return dict(sorted(found.items()))


def following(
    keys: Keys, entries: Iterable[KeyValue], scope: str, version: int, digests: Mapping[int, str]
) -> Followers:
    """How far the gateways among the entries have followed a version of `scope`.

    digests: the SHA-256 of that version, and of those after it, as the store has them. A gateway may still go by a
    configuration that the store has lost, and its version says nothing then.
    """
    applied = total = 0
    refusals, waiting = [], []
    for region, kind, entry in _parted(keys, entries):
        if kind != "gateways" or (gateway := _record(entry, GatewayRecord)) is None:
            continue
        total += 1
        state = gateway.config.get(scope, ConfigState())
        if _is_of(state.applied_version, state.applied_sha256, version, digests):
            applied += 1
        elif _is_of(state.refused_version, state.refused_sha256, version, digests):
            refusals.append(Refusal(gateway.service.id, region, state.refused))
        else:
            waiting.append(gateway.service.id)
    return Followers(
        applied=applied,
        total=total,
        refusals=tuple(sorted(refusals, key=lambda refusal: (refusal.region, refusal.gateway))),
        waiting=tuple(sorted(waiting)[:WAITING_SHOWN]),
    )


def _is_of(told: int, digest: str, version: int, digests: Mapping[int, str]) -> bool:
    return told >= version and (not digest or digest == digests.get(told))


R = TypeVar("R", GatewayRecord, CollectorRecord)


def _record(entry: KeyValue, kind: type[R]) -> R | None:
    """What is announced; None when a later version writes what this one cannot read."""
    try:
        return msgspec.json.decode(entry.value, type=kind)
    except msgspec.MsgspecError:
        return None


def _parted(keys: Keys, entries: Iterable[KeyValue]) -> Iterator[tuple[str, str, KeyValue]]:
    """Region and kind of each entry: `info`, `view`, `gateways`, `collectors`."""
    for entry in entries:
        region, _, rest = entry.key.removeprefix(keys.regions).partition("/")
        yield region, rest.partition("/")[0], entry
