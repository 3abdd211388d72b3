"""What gateways and leaders write into the store for each other to read. JSON; fields are only ever added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from sidecar.coord.session import FAREWELL
from sidecar.coord.store import KeyValue
from sidecar.model import Endpoint, Health, RegionHealth
from sidecar.sampling.plan import ServiceLoad, ServiceRate
from sidecar.snapshot import Load
from sidecar.telemetry import log

R = TypeVar("R", bound=msgspec.Struct)


def read(kind: type[R], entry: KeyValue) -> R | None:
    """The record in an entry. One that does not read is told in the log and left out: the others count all the same."""
    try:
        return msgspec.json.decode(entry.value, type=kind)
    except msgspec.MsgspecError as error:
        log.logger("store").error("a record does not read", key=entry.key, reason=str(error))
        return None


def read_all(kind: type[R], entries: Iterable[KeyValue]) -> list[R]:
    """The records in entries, less those that do not read, and of those who have said good-bye."""
    there = (entry for entry in entries if entry.value != FAREWELL)
    return [record for entry in there if (record := read(kind, entry)) is not None]


NO_MEANING = msgspec.Raw(b"")


class Blob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A configuration as it is stored: the text that somebody wrote, and who, when and over what (see stored.py)."""

    version: int
    """Counts up with every apply of this scope, from 1."""
    sha256: str
    """Of body."""
    body: str
    """YAML as it was given."""
    author: str = ""
    applied_unix_s: float = 0.0
    comment: str = ""
    home_version: int = 0
    """Copied from the home region's store: its version there; 0 where it was written here."""
    meaning: msgspec.Raw = NO_MEANING
    """What body means, as JSON for gateways; none: they read body."""
    seal: str = ""
    """SHA-256 of `sha256` and meaning: it was made of this body."""


class ServiceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Who somebody is, and how it is doing: the record of the registry."""

    id: str
    name: str
    address: Endpoint
    region: str
    metadata: Mapping[str, str] = {}
    health: Health = Health.UNKNOWN
    reason: str = ""
    """Why it is unhealthy."""
    registered_at_unix_s: float = 0.0


class CollectorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`regions/R/collectors/ID`: a collector, written by the gateway beside it or by `spangate register`."""

    service: ServiceInfo
    load: Load = Load()
    weight: float = 1.0
    """Configured."""
    by: str = ""
    """Id of the gateway that speaks for it."""


class ConfigState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a gateway has followed the configuration of one scope (`global`, `regions/R`)."""

    applied_version: int = 0
    applied_revision: int = 0
    refused_version: int = 0
    """A later one that it does not take; 0 if there is none."""
    refused: tuple[str, ...] = ()
    """Why."""
    applied_sha256: str = ""
    """Of its text: a store that was wiped gives a version again. Empty from gateways of a former version."""
    refused_sha256: str = ""


class GatewayRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`regions/R/gateways/ID`: a gateway's announcement. Jittered, and left out while nothing has changed."""

    service: ServiceInfo
    load: Load = Load()
    config: Mapping[str, ConfigState] = {}
    """By scope."""
    target_token: int = 0
    target_sequence: int = 0
    """The sampling target that it works by."""
    view_epochs: Mapping[str, int] = {}
    """By region, of the views that it uses."""
    received: float = 0.0
    """Spans per second, all services."""
    kept: float = 0.0
    observed: Mapping[str, ServiceLoad] = {}
    """Top services, the rest under `_other`."""
    suspects: Mapping[str, str] = {}
    """Ids of collectors that it cannot reach, and why."""
    collector_loads: Mapping[str, Load] = {}
    """What it sees of the collectors it sends to: latency, errors, by id."""


class MemberRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A collector as the view has it."""

    id: str
    address: Endpoint
    weight: float
    health: Health = Health.HEALTHY
    reason: str = ""


class ViewRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`regions/R/view`: who owns traces in a region. Ownership is a function of this and the trace id."""

    region: str
    epoch: int
    """Counts up with every change."""
    members: tuple[MemberRecord, ...] = ()
    down: tuple[str, ...] = ()
    """Ids that everybody passes over."""
    effective_in_s: float = 0.0
    """The notice that the change has, counted from receipt."""
    token: int = 0
    """Of the leader that wrote it."""


class StatsRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`stats/R`: a region's sums, for the global leader and for topology."""

    region: str
    health: RegionHealth = RegionHealth.UNHEALTHY
    gateways: int = 0
    collectors: int = 0
    healthy: int = 0
    received: float = 0.0
    kept: float = 0.0
    bytes_per_s: float = 0.0
    latency_ms: float = 0.0
    error_rate: float = 0.0
    observed: Mapping[str, ServiceLoad] = {}
    token: int = 0


class TargetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`sampling/target`: what everybody samples by. A newer token wins, then a newer sequence."""

    token: int
    sequence: int = 0
    """Counts up with every change of one leader."""
    led: bool = False
    """False until the leader has solved for the first time: the former target stays in force."""
    rate: float | None = None
    """Of services that nothing else fits; None: as configured."""
    services: Mapping[str, ServiceRate] = {}
    fleet_received: float = 0.0
    """Spans per second in all regions, so that each gateway knows its share of the limits."""
    fleet_kept: float = 0.0
    gateways: int = 0
    budget_spent: float = 0.0
    """cost_based: of this hour."""
