"""Limits of the whole fleet: thresholds first, one gateway's token buckets as the backstop behind them."""

from __future__ import annotations

from dataclasses import replace

from sidecar.config.fleet import RateLimitingConfig
from sidecar.model import OnLimit
from sidecar.sampling.cut import cut
from sidecar.sampling.entry import Entries
from sidecar.sampling.glob import is_glob
from sidecar.sampling.plan import Cause, Limit

_LEAST_PER_S = 1e-3
"""A limit of 0 would be none."""


def with_own_limits(limiting: RateLimitingConfig | None, entries: Entries) -> Entries:
    """The entries with the rate that `per_service_limit` allows each, and none at a higher one."""
    most = _thresholds(limiting).per_service_limit
    if most is None:
        return entries
    bounded: Entries = {}
    for name, entry in entries.items():
        allowed = replace(entry, most=1.0 if is_glob(name) else entry.demand.rate_for(most))
        bounded[name] = allowed.at(entry.rate) if entry.rate > allowed.most else allowed
    return bounded


def within_limits(limiting: RateLimitingConfig | None, entries: Entries) -> Entries:
    """The entries with rates at which all together keep no more than `max_qps`."""
    most = _thresholds(limiting).max_qps
    return entries if most is None else cut(entries, most, Cause.LIMIT)


def share_of(received: float, fleet_received: float, gateways: int) -> float:
    """The part of a gateway in what is for all, by what it receives; an equal one while nothing is known."""
    if fleet_received <= 0:
        return 1.0 / max(gateways, 1)
    return min(received / fleet_received, 1.0)


def share_of_limits(limiting: RateLimitingConfig | None, share: float, service_share: float = 1.0) -> Limit:
    """The token buckets of one gateway.

    share: its part of all that the fleet receives. service_share: the largest part that it has of any one service; all
    of it unless known, since a service usually sends to the gateway beside it.
    """
    if limiting is None:
        return Limit()
    return Limit(
        per_s=_part(limiting.max_qps, share),
        burst=limiting.burst_size * share,
        service_per_s=_part(limiting.per_service_limit, service_share),
        service_burst=limiting.burst_size * service_share,
        on_limit=limiting.on_limit,
    )


def _part(limit: float | None, share: float) -> float:
    return 0.0 if limit is None else max(limit * share, _LEAST_PER_S)


def _thresholds(limiting: RateLimitingConfig | None) -> RateLimitingConfig:
    """What thresholds are raised by: nothing where the rest is to be refused."""
    if limiting is None or limiting.on_limit is OnLimit.REFUSE:
        return RateLimitingConfig()
    return limiting
