"""The fleet as a whole, read from the store when somebody asks: regions, who is in them, how they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
from sidecar.sampling.plan import SamplingPlan


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
    """What it should keep of what it receives; None while it receives nothing."""
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


async def topology(store: Store, keys: Keys, plan_by: Callable[[TargetRecord | None], SamplingPlan]) -> Topology:
    """Reads everything once. StoreError when the store does not answer.

    plan_by: what is to be sampled by a target, and by the configuration that it does not repeat.
    """
    listing = await store.list(keys.regions)
    elections = await store.list(f"{keys.prefix}/election/")
    entry = await store.get(keys.sampling_target)
    target = read(TargetRecord, entry) if entry else None
    plan = plan_by(target)
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
            _region(name, entries, keys, leaders.get(f"regions/{name}", ""), target, plan)
            for name, entries in sorted(found.items())
        ),
    )


def _region(  # noqa: PLR0917  each of a type of its own
    name: str, entries: list[KeyValue], keys: Keys, leader: str, target: TargetRecord | None, plan: SamplingPlan
) -> RegionView:
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
        gateways=tuple(_gateway(one, target, name, epoch, plan) for one in gateways),
    )


def _collector(record: CollectorRecord, down: Mapping[str, str], weights: Mapping[str, float]) -> CollectorView:
    who = record.service
    health = Health.UNHEALTHY if who.id in down else who.health
    return CollectorView(
        record=record, health=health, reason=down.get(who.id, who.reason), weight=weights.get(who.id, 0.0)
    )


def _gateway(
    record: GatewayRecord, target: TargetRecord | None, region: str, epoch: int, plan: SamplingPlan
) -> GatewayView:
    behind = target is not None and record.target_token != target.token
    return GatewayView(
        record=record,
        target_rate=_wanted(record, plan),
        actual_rate=record.kept / record.received if record.received else None,
        behind=behind or record.view_epochs.get(region, 0) < epoch,
    )


def _wanted(record: GatewayRecord, plan: SamplingPlan) -> float | None:
    """Its services' rates, weighted by what it receives of each."""
    if not record.received:
        return None
    kept = sum(load.received * plan.of_service(name).rate for name, load in record.observed.items())
    return kept / record.received


def _leaders(entries: tuple[KeyValue, ...], prefix: str) -> dict[str, str]:
    """Who leads, by office: the candidate whose key is the oldest."""
    oldest: dict[str, KeyValue] = {}
    for entry in entries:
        office = entry.key.removeprefix(prefix).rpartition("/")[0]
        if office not in oldest or entry.created < oldest[office].created:
            oldest[office] = entry
    return {office: entry.value.decode(errors="replace") for office, entry in oldest.items()}
