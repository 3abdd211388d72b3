"""From what the fleet receives to the rates that all of it samples by: what its leader runs every second or two.

    load reported ---> tracks ----> own limits ----> adaptive ----> cost ----> limits ----> rates told
                     (steady        (most rate       (the rest      (lowest    (lowest
                      estimates)     of a service)    of a target)   first)     first)

Only what depends on load is told. Everything else each gateway has from the configuration, at the moment it changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from sidecar.config.fleet import GlobalConfig, StrategyConfig
from sidecar.model import SamplingStrategy
from sidecar.sampling.adaptive import adapt, target_of
from sidecar.sampling.cost import Spending
from sidecar.sampling.cut import cut
from sidecar.sampling.demand import Demand
from sidecar.sampling.entry import Entries, kept
from sidecar.sampling.fixed import strategy_of
from sidecar.sampling.glob import EVERYTHING, is_glob
from sidecar.sampling.limit import with_own_limits, within_limits
from sidecar.sampling.plan import OTHER, Cause, Observed, ServiceRate
from sidecar.sampling.priority import Rules, rules_of
from sidecar.sampling.track import Track, followed

HOLD_RATIO = 0.005
"""A rate that would rise by less than this stays as it is: a target that does not change need not be told."""

_EXACT = 1 + 1e-6


class ControllerState(msgspec.Struct, frozen=True, kw_only=True):
    """What controllers remember, whatever the configuration: a new leader goes on from it."""

    tracks: Mapping[str, Track] = {}
    """By service."""
    rates: Mapping[str, float] = {}
    """As told last."""
    spending: Spending = Spending()


class Solution(msgspec.Struct, frozen=True, kw_only=True):
    """What to tell, and what comes of it."""

    rate: float | None
    """Of services that nothing else fits; None: it does not depend on load, and is what the configuration says."""
    services: Mapping[str, ServiceRate]
    """By name, or by pattern of a rule (with `*`): whoever has another rate because of load."""
    state: ControllerState
    received: float
    """Spans per second, as reported."""
    kept_expected: float
    """Spans per second at these rates."""
    budget_spent: float
    """cost_based: of this hour."""
    reasons: tuple[str, ...] = ()
    """Sentences, in the order in which strategies acted."""


def solve(
    config: GlobalConfig,
    default_rate: float,
    observed: Observed,
    state: ControllerState,
    *,
    now_unix_s: float,
    elapsed_s: float,
) -> Solution:
    """The rates for the load of the whole fleet.

    default_rate: of a gateway, where `config` has no `sampling_rate`. elapsed_s: since the call that left `state`, on
    the monotonic clock; about 0 in a new leader's first.
    """
    tracks = followed(observed, state.tracks, elapsed_s)
    rules = rules_of(config, default_rate if config.sampling_rate is None else config.sampling_rate)
    cost = strategy_of(config, SamplingStrategy.COST_BASED)
    kept_now = sum(load.kept for load in observed.values())
    spending = state.spending.went_on(cost, kept_now, now_unix_s, elapsed_s)
    entries, reasons = _strategies(rules, _loaded(rules, tracks), spending, now_unix_s)
    told = _told(rules, entries, state.rates)
    given = {name: track.given(_in_force(rules, entries, told, name), elapsed_s) for name, track in tracks.items()}
    others = told.get(EVERYTHING)
    return Solution(
        rate=others.rate if others else None,
        services={name: rate for name, rate in told.items() if name != EVERYTHING},
        state=ControllerState(tracks=given, rates={name: one.rate for name, one in told.items()}, spending=spending),
        received=sum(load.received for load in observed.values()),
        kept_expected=sum(track.demand.kept(track.rate) for track in given.values()),
        budget_spent=spending.spent,
        reasons=tuple(reasons),
    )


def _loaded(rules: Rules, tracks: Mapping[str, Track]) -> Entries:
    """All who have a rate: those of the rules, and every service that is seen, with what it sends."""
    entries = dict(rules.entries)
    unnamed = [track.demand for name, track in tracks.items() if _entry_name(name) == EVERYTHING]
    entries[EVERYTHING] = replace(entries[EVERYTHING], demand=Demand.total(unnamed))
    for name, track in tracks.items():
        if _entry_name(name) == name:
            entries[name] = replace(rules.entries[rules.place(name)], demand=track.demand)
    return entries


def _entry_name(service: str) -> str:
    """Where a service's load counts: a star in a name would make a pattern of it."""
    return EVERYTHING if service == OTHER or is_glob(service) else service


def _strategies(rules: Rules, entries: Entries, spending: Spending, now_unix_s: float) -> tuple[Entries, list[str]]:
    config, reasons = rules.config, list[str]()
    entries = with_own_limits(config.rate_limiting, entries)
    adaptive = strategy_of(config, SamplingStrategy.ADAPTIVE)
    if adaptive is not None:
        entries = adapt(adaptive, entries)
        reasons.append(_adapted(adaptive, entries))
    limited = sum(entry.cause is Cause.LIMIT for entry in entries.values())
    if limited:
        reasons.append(f"per_service_limit lowers the rate of {limited} service{'s' * (limited > 1)}")
    cost = strategy_of(config, SamplingStrategy.COST_BASED)
    if cost is not None:
        wanted, ceiling = kept(entries.values()), spending.affordable(cost, now_unix_s)
        entries = cut(entries, ceiling, Cause.RATE)
        if wanted > ceiling:
            reasons.append(f"cost_based has {ceiling:.6g} spans/s for the rest of the hour, of {wanted:.6g} wanted")
    wanted = kept(entries.values())
    entries = within_limits(config.rate_limiting, entries)
    allowed = kept(entries.values())
    if allowed < wanted:
        reasons.append(f"max_qps allows {allowed:.6g} spans/s of {wanted:.6g} wanted")
    return entries, reasons


def _adapted(adaptive: StrategyConfig, entries: Entries) -> str:
    got, target = kept(entries.values()), target_of(adaptive)
    over = ", as nothing may be lowered further" if got > target * _EXACT else ""
    under = ", as nothing may be raised further" if got < target / _EXACT else ""
    return f"adaptive keeps {got:.6g} spans/s of a target of {target:.6g}{over}{under}"


def _told(rules: Rules, entries: Entries, before: Mapping[str, float]) -> dict[str, ServiceRate]:
    """What gateways cannot know from the configuration, and would not guess from a pattern they are told of."""
    told: dict[str, ServiceRate] = {}
    for name, entry in entries.items():
        implied = name not in rules.entries and entries[rules.place(name)].told() == entry.told()
        if entry.moved and not implied:
            rate = entry.told()
            held = before.get(name, -1.0)
            steady = (1 - HOLD_RATIO) * rate.rate <= held <= rate.rate
            told[name] = msgspec.structs.replace(rate, rate=held) if steady else rate
    return told


def _in_force(rules: Rules, entries: Entries, told: Mapping[str, ServiceRate], service: str) -> float:
    """The rate that a service is sampled by, once everybody has been told."""
    name = _entry_name(service)
    if name in told:
        return told[name].rate
    place = rules.place(name)
    return told[place].rate if entries[name].moved and place in told else entries[name].rate
