"""A region from what is announced in it: its view and its sums. Pure functions; the region's leader calls them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from sidecar.config.schema import RoutingConfig
from sidecar.control.records import (
    CollectorRecord,
    GatewayRecord,
    MemberRecord,
    ServiceInfo,
    StatsRecord,
    ViewRecord,
)
from sidecar.coord.store import VALUE_LIMIT_BYTES
from sidecar.load.health import region_health
from sidecar.model import Endpoint, Health, RoutingStrategy
from sidecar.routing.intelligent import Observed as SeenMember
from sidecar.routing.intelligent import weigh
from sidecar.sampling.plan import OTHER, Observed, ServiceLoad
from sidecar.snapshot import Load

R = TypeVar("R", GatewayRecord, StatsRecord)

WEIGHT_MAX = 2.0**16
"""Configured: routing takes sixteen times as much, which is room for what `intelligent` makes of it."""
SERVICES_MAX = 512
"""Names in a region's sums; the rest is summed up. What is announced stays far below a store's bound on values."""


def distinct(collectors: Iterable[CollectorRecord]) -> tuple[list[CollectorRecord], list[str]]:
    """Those that a view can have, and what is wrong with the others.

    Of two with one id or address the one that registered later is meant: the other is what it was called before, and
    its lease has yet to end.
    """
    kept: dict[str, CollectorRecord] = {}
    wrong: list[str] = []
    addresses: dict[Endpoint, str] = {}
    for one in sorted(collectors, key=lambda one: (-one.service.registered_at_unix_s, one.service.id)):
        who = one.service
        if not 0 <= one.weight <= WEIGHT_MAX:
            wrong.append(f"{who.id} has a weight of {one.weight:g}")
        elif who.id in kept:
            wrong.append(f"{who.id} is registered twice")
        elif (other := addresses.setdefault(who.address, who.id)) != who.id:
            wrong.append(f"{who.id} is registered at {who.address}, as {other} is")
        else:
            kept[who.id] = one
    return sorted(kept.values(), key=lambda one: one.service.id), sorted(wrong)


def awaited(former: ViewRecord | None, here: Iterable[CollectorRecord]) -> list[CollectorRecord]:
    """Members of the former view that are not registered: with the former leader's lease theirs may have expired."""
    members = former.members if former else ()
    registered = {one.service.id for one in here} | {one.service.address for one in here}
    absent = [one for one in members if not {one.id, one.address} & registered]
    region = former.region if former else ""
    return [
        CollectorRecord(
            service=ServiceInfo(
                id=one.id, name=one.id, address=one.address, region=region, health=one.health, reason=one.reason
            ),
            weight=one.weight,
        )
        for one in absent
    ]


def doubts(collectors: Iterable[CollectorRecord], gateways: Sequence[GatewayRecord]) -> dict[str, str]:
    """Why a collector is passed over, by id: it says so itself, or most gateways of the region cannot reach it."""
    blind: dict[str, list[str]] = {}
    for gateway in gateways:
        for address, why in gateway.suspects.items():
            blind.setdefault(address, []).append(why)
    down: dict[str, str] = {}
    for collector in collectors:
        who = collector.service
        reasons = blind.get(str(who.address), ())
        if who.health is Health.UNHEALTHY:
            down[who.id] = who.reason or "unhealthy"
        elif reasons and 2 * len(reasons) > len(gateways):
            down[who.id] = f"{len(reasons)} of {len(gateways)} gateways cannot reach it: {reasons[0]}"
    return down


def factors(
    collectors: Sequence[CollectorRecord],
    gateways: Sequence[GatewayRecord],
    before: Mapping[str, float],
    routing: RoutingConfig,
) -> dict[str, float]:
    """What `intelligent` multiplies the configured weights by, by id; 1 for all under every other strategy."""
    ids = frozenset(collector.service.id for collector in collectors)
    if routing.strategy is not RoutingStrategy.INTELLIGENT:
        return dict.fromkeys(ids, 1.0)
    loads: dict[str, list[Load]] = {}
    for gateway in gateways:
        for address, load in gateway.collector_loads.items():
            loads.setdefault(address, []).append(load)
    seen = {
        collector.service.id: _seen(collector, loads.get(str(collector.service.address), ()))
        for collector in collectors
    }
    return weigh(seen, before, ids, routing)


def view_of(
    region: str,
    collectors: Iterable[CollectorRecord],
    down: Mapping[str, str],
    weights: Mapping[str, float],
    former: ViewRecord | None,
    *,
    highest: int = 0,
    effective_in_s: float = 0.0,
    token: int = 0,
) -> ViewRecord | None:
    """The next view; None when it would say what the former says already, its reasons apart.

    Its epoch is above the former one and `highest`, the highest known: no two views may ever have the same.
    """
    members = tuple(
        MemberRecord(
            id=collector.service.id,
            address=collector.service.address,
            weight=collector.weight * weights.get(collector.service.id, 1.0),
            health=Health.UNHEALTHY if collector.service.id in down else collector.service.health,
            reason=down.get(collector.service.id, ""),
        )
        for collector in sorted(collectors, key=lambda one: one.service.id)
    )
    passed_over = tuple(member.id for member in members if member.id in down)
    if former is not None and (_bare(former.members), former.down) == (_bare(members), passed_over):
        return None
    return ViewRecord(
        region=region,
        epoch=max(former.epoch if former else 0, highest) + 1,
        members=members,
        down=passed_over,
        effective_in_s=effective_in_s,
        token=token,
    )


def fitting(record: R) -> bytes:
    """A record with `observed` as JSON, the smallest services summed up where it would be too large for a store."""
    body, most = msgspec.json.encode(record), len(record.observed)
    while len(body) > VALUE_LIMIT_BYTES and most > 1:
        most //= 2
        body = msgspec.json.encode(msgspec.structs.replace(record, observed=added([record.observed], most)))
    return body


def stats_of(
    region: str,
    collectors: Sequence[CollectorRecord],
    gateways: Sequence[GatewayRecord],
    down: Mapping[str, str],
    *,
    token: int = 0,
) -> StatsRecord:
    """The sums of a region. Latency and error rate are means, weighted by what each gateway receives."""
    received = sum(gateway.received for gateway in gateways)
    healthy = sum(one.service.health is Health.HEALTHY and one.service.id not in down for one in collectors)
    return StatsRecord(
        region=region,
        health=region_health(healthy, len(collectors)),
        gateways=len(gateways),
        collectors=len(collectors),
        healthy=healthy,
        received=received,
        kept=sum(gateway.kept for gateway in gateways),
        bytes_per_s=sum(gateway.load.bytes_per_s for gateway in gateways),
        latency_ms=_mean((gateway.load.latency_ms, gateway.received) for gateway in gateways),
        error_rate=_mean((gateway.load.error_rate, gateway.received) for gateway in gateways),
        observed=added(gateway.observed for gateway in gateways),
        token=token,
    )


def added(parts: Iterable[Observed], most: int = SERVICES_MAX) -> dict[str, ServiceLoad]:
    """The sum by service; of more than `most` names the smallest go into `_other`."""
    sums: dict[str, ServiceLoad] = {}
    for part in parts:
        for name, load in part.items():
            held = sums.get(name)
            sums[name] = load if held is None else plus(held, load)
    names = sorted(sums, key=lambda name: (name != OTHER, -sums[name].received, name))
    kept = {name: sums[name] for name in names[:most]}
    for name in names[most:]:
        kept[OTHER] = plus(kept.get(OTHER, ServiceLoad()), sums[name])
    return kept


def plus(one: ServiceLoad, other: ServiceLoad) -> ServiceLoad:
    """Both together."""
    arrived = dict(one.arrived)
    for k, rate in other.arrived.items():
        arrived[k] = arrived.get(k, 0.0) + rate
    return ServiceLoad(
        received=one.received + other.received,
        errors=one.errors + other.errors,
        kept=one.kept + other.kept,
        arrived=arrived,
        kept_bytes=one.kept_bytes + other.kept_bytes,
    )


def differs(one: StatsRecord, other: StatsRecord, ratio: float = 0.02) -> bool:
    """Whether the sums are worth writing again: a figure is off by more than `ratio`, or anything else changed."""
    rates = ("received", "kept", "bytes_per_s", "latency_ms", "error_rate")
    same = {name: getattr(other, name) for name in rates}
    return (
        msgspec.structs.replace(one, observed=other.observed, **same) != other
        or any(off(getattr(one, name), getattr(other, name), ratio) for name in rates)
        or services_differ(one.observed, other.observed, ratio)
    )


def services_differ(one: Observed, other: Observed, ratio: float) -> bool:
    """Whether the load of any service has changed by more than `ratio`."""
    return one.keys() != other.keys() or any(_service_differs(load, other[name], ratio) for name, load in one.items())


def load_differs(one: Load, other: Load) -> bool:
    """Whether a load has changed enough to be told again: ratios by a twentieth, rates by a tenth of themselves."""
    ratios = ("cpu", "memory", "queue", "error_rate", "forecast", "confidence")
    rates = ("qps", "bytes_per_s", "latency_ms", "capacity_qps")
    return any(abs(getattr(one, name) - getattr(other, name)) > 0.05 for name in ratios) or any(
        off(getattr(one, name), getattr(other, name), 0.1) for name in rates
    )


def off(one: float, other: float, ratio: float) -> bool:
    """Whether two figures differ by more than `ratio` of the larger."""
    return abs(one - other) > ratio * max(abs(one), abs(other))


def _bare(members: Iterable[MemberRecord]) -> list[MemberRecord]:
    return [msgspec.structs.replace(member, reason="") for member in members]


def _service_differs(one: ServiceLoad, other: ServiceLoad, ratio: float) -> bool:
    arrived = one.arrived.keys() | other.arrived.keys()
    return (
        off(one.received, other.received, ratio)
        or off(one.errors, other.errors, ratio)
        or off(one.kept, other.kept, ratio)
        or any(off(one.arrived.get(k, 0.0), other.arrived.get(k, 0.0), ratio) for k in arrived)
    )


def _seen(collector: CollectorRecord, by_gateways: Sequence[Load]) -> SeenMember:
    """As it says itself; its latency and queue as those see them who send to it."""
    own: Load = collector.load
    return SeenMember(
        load=max([own.utilization, own.queue, *(load.queue for load in by_gateways)]),
        latency_ms=_mean((load.latency_ms, load.qps) for load in by_gateways) or own.latency_ms,
        available=own.available,
    )


def _mean(pairs: Iterable[tuple[float, float]]) -> float:
    total = weight = 0.0
    for value, share in pairs:
        total += value * share
        weight += share
    return total / weight if weight else 0.0
