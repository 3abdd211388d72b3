"""The fleet as a whole, read from the store when somebody asks: regions, who is in them, how they do."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sidecar.control.records import (
    CollectorRecord,
    GatewayRecord,
    StatsRecord,
    TargetRecord,
    ViewRecord,
    read,
    read_all,
)
from sidecar.control.region import doubts, stats_of
from sidecar.coord.keys import Keys, is_name
from sidecar.coord.store import KeyValue, Store
from sidecar.model import Health, RegionHealth


class CollectorView(msgspec.Struct, frozen=True, kw_only=True):
    """A collector, with what the region makes of it."""

    record: CollectorRecord
    health: Health
    reason: str = ""
    weight: float = 0.0
    """In force: configured times what `intelligent` makes of it; 0 where it is not in the view."""


class GatewayView(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway, and what it was to keep against what it keeps."""

    record: GatewayRecord
    target_rate: float | None = None
    """What it should keep of what it receives by the target; None without one."""
    actual_rate: float | None = None
    """What it keeps; None while it receives nothing."""
    behind: bool = False
    """It works by the target of a former leader, or by an older view than there is."""


class RegionView(msgspec.Struct, frozen=True, kw_only=True):
    """A region."""

    name: str
    health: RegionHealth
    leader: str = ""
    """Id of the gateway that leads it."""
    epoch: int = 0
    totals: StatsRecord
    effective_rate: float | None = None
    """Kept of received, over the whole region."""
    collectors: tuple[CollectorView, ...] = ()
    gateways: tuple[GatewayView, ...] = ()


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """The fleet at one revision of the store."""

    revision: int
    leader: str = ""
    """Id of the gateway that leads the fleet."""
    target: TargetRecord | None = None
    regions: tuple[RegionView, ...] = ()


async def topology(store: Store, keys: Keys) -> Topology:
    """Reads everything once. StoreError when the store does not answer."""
    listing = await store.list(keys.regions)
    elections = await store.list(f"{keys.prefix}/election/")
    entry = await store.get(keys.sampling_target)
    target = read(TargetRecord, entry) if entry else None
    leaders = _leaders(elections.entries, f"{keys.prefix}/election/")
    found: dict[str, list[KeyValue]] = {}
    for one in listing.entries:
        name, slash, _ = one.key.removeprefix(keys.regions).partition("/")
        if slash and is_name(name):  # else nobody of ours has written it
            found.setdefault(name, []).append(one)
    return Topology(
        revision=listing.revision,
        leader=leaders.get("global", ""),
        target=target,
        regions=tuple(
            _region(name, entries, keys, leaders.get(f"regions/{name}", ""), target)
            for name, entries in sorted(found.items())
        ),
    )


def _region(name: str, entries: list[KeyValue], keys: Keys, leader: str, target: TargetRecord | None) -> RegionView:
    collectors = read_all(CollectorRecord, (e for e in entries if e.key.startswith(keys.collectors(name))))
    gateways = read_all(GatewayRecord, (e for e in entries if e.key.startswith(keys.gateways(name))))
    view = next((read(ViewRecord, e) for e in entries if e.key == keys.view(name)), None)
    down = doubts(collectors, gateways)
    stats = stats_of(name, collectors, gateways, down)
    weights = {member.id: member.weight for member in view.members} if view else {}
    epoch = view.epoch if view else 0
    return RegionView(
        name=name,
        health=stats.health,
        leader=leader,
        epoch=epoch,
        totals=stats,
        effective_rate=stats.kept / stats.received if stats.received else None,
        collectors=tuple(_collector(one, down, weights) for one in collectors),
        gateways=tuple(_gateway(one, target, name, epoch) for one in gateways),
    )


def _collector(record: CollectorRecord, down: Mapping[str, str], weights: Mapping[str, float]) -> CollectorView:
    who = record.service
    health = Health.UNHEALTHY if who.id in down else who.health
    return CollectorView(
        record=record, health=health, reason=down.get(who.id, who.reason), weight=weights.get(who.id, 0.0)
    )


def _gateway(record: GatewayRecord, target: TargetRecord | None, region: str, epoch: int) -> GatewayView:
    behind = target is not None and record.target_token != target.token
    return GatewayView(
        record=record,
        target_rate=_wanted(record, target),
        actual_rate=record.kept / record.received if record.received else None,
        behind=behind or record.view_epochs.get(region, 0) < epoch,
    )


def _wanted(record: GatewayRecord, target: TargetRecord | None) -> float | None:
    """Its services' rates, weighted by what it receives of each."""
    if target is None or target.rate is None or not record.received:
        return None
    rates = {name: one.rate for name, one in target.services.items()}
    kept = sum(load.received * rates.get(name, target.rate) for name, load in record.observed.items())
    return kept / record.received


def _leaders(entries: tuple[KeyValue, ...], prefix: str) -> dict[str, str]:
    """Who leads, by office: the candidate whose key is the oldest."""
    oldest: dict[str, KeyValue] = {}
    for entry in entries:
        office = entry.key.removeprefix(prefix).rpartition("/")[0]
        if office not in oldest or entry.created < oldest[office].created:
            oldest[office] = entry
    return {office: entry.value.decode(errors="replace") for office, entry in oldest.items()}
