"""Which collector would be the best to send to: the mission's question, answered from the same view as all others."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sidecar.config.schema import RoutingConfig
from sidecar.control.topology import CollectorView, RegionView, Topology
from sidecar.errors import QuestionInvalid
from sidecar.model import Health
from sidecar.routing.intelligent import Observed, score


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A collector, and how it scores."""

    id: str
    region: str
    address: str
    score: float
    eligible: bool
    reason: str = ""
    """Why it is not eligible."""


class Best(msgspec.Struct, frozen=True, kw_only=True):
    """The answer, and all that were looked at, the best first."""

    best: Candidate | None
    reason: str
    candidates: tuple[Candidate, ...] = ()


def weighed(routing: RoutingConfig, text: str) -> RoutingConfig:
    """With the weights that the text gives, as in `load=0.5,latency=0.5`; others stay. QuestionInvalid."""
    given = {}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        try:
            given[_WEIGHTS[name]] = weight = float(number)
        except (KeyError, ValueError):
            raise QuestionInvalid(f"no weight: {part.strip()!r}", "write load=0.7,latency=0.3,capacity=0") from None
        if not 0 <= weight <= 1:
            raise QuestionInvalid(f"a weight is from 0 to 1, not {number}")
    return msgspec.structs.replace(routing, **given)


_WEIGHTS = {name: f"{name}_weight" for name in ("load", "latency", "capacity")}


def best(
    topology: Topology,
    own_region: str,
    routing: RoutingConfig,
    *,
    only_region: str | None = None,
    preference: Sequence[str] = (),
) -> Best:
    """The collector with the highest weighted score among those that are healthy and have capacity left.

    The own region comes first, others only when it has none; with `only_region` no other is looked at. `preference`
    (ids, the preferred first) breaks ties.
    """
    wanted = only_region or own_region
    known = {region.name: region for region in topology.regions}
    near = _scored(known.get(wanted), routing, preference)
    chosen = next((one for one in near if one.eligible), None)
    if chosen is not None:
        return Best(best=chosen, reason=f"the highest score in {wanted}", candidates=tuple(near))
    lacking = (
        f"{wanted} has no healthy collector with capacity left" if wanted in known else f"there is no region {wanted}"
    )
    if only_region is not None:
        return Best(best=None, reason=lacking, candidates=tuple(near))
    far = [one for name, region in known.items() if name != wanted for one in _scored(region, routing, preference)]
    far.sort(key=lambda one: (not one.eligible, -one.score, one.id))
    chosen = next((one for one in far if one.eligible), None)
    reason = f"{lacking}; the highest score elsewhere" if chosen else f"{lacking}, nor has any other region"
    return Best(best=chosen, reason=reason, candidates=(*near, *far))


def _scored(region: RegionView | None, routing: RoutingConfig, preference: Sequence[str]) -> list[Candidate]:
    if region is None:
        return []
    places = {name: place for place, name in enumerate(preference)}
    found = [_candidate(region.name, one, routing) for one in region.collectors]
    found.sort(key=lambda one: (not one.eligible, -one.score, places.get(one.id, len(places)), one.id))
    return found


def _candidate(region: str, one: CollectorView, routing: RoutingConfig) -> Candidate:
    load, who = one.record.load, one.record.service
    reason = ""
    if one.health is not Health.HEALTHY:
        reason = f"{one.health}: {one.reason}" if one.reason else str(one.health)
    elif load.available <= 0:
        reason = "no capacity left"
    seen = Observed(load=load.utilization, latency_ms=load.latency_ms, available=load.available)
    return Candidate(
        id=who.id,
        region=region,
        address=str(who.address),
        score=score(seen, routing),
        eligible=not reason,
        reason=reason,
    )
