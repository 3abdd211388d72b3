"""What the data plane samples by, and what it reports of it: the values between controllers and kernels."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

import msgspec

from sidecar.config.schema import SamplingConfig
from sidecar.model import OnLimit, Priority, Signal
from sidecar.sampling.glob import matches


class Cause(StrEnum):
    """Why an item was sampled out: whoever had the highest threshold is charged."""

    RATE = "rate"
    """The rate of a strategy, or the default."""
    LIMIT = "limit"
    """max_qps or per_service_limit."""
    SHED = "shed"
    """Degradation, or the local ceiling without a leader."""
    UPSTREAM = "upstream"
    """The threshold that the item came with lies above ours."""


class ServiceRate(msgspec.Struct, frozen=True):
    """The rate of one service, or of all whose name fits a pattern."""

    rate: float
    """Equalizing: what is kept in all, whatever was sampled before."""
    priority: Priority = Priority.NORMAL
    cause: Cause = Cause.RATE


class Shed(msgspec.Struct, frozen=True, kw_only=True):
    """Proportional, on top of every rate: the share of each class that is left, 1 for all of it."""

    low: float = 1.0
    normal: float = 1.0
    high: float = 1.0
    errors: float = 1.0


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """Token buckets behind the thresholds, of one gateway: kept items per second, 0 for no limit."""

    per_s: float = 0.0
    burst: float = 0.0
    service_per_s: float = 0.0
    service_burst: float = 0.0
    on_limit: OnLimit = OnLimit.SAMPLE

    def of_worker(self, workers: int) -> Limit:
        """The share of one of `workers` alike."""
        return msgspec.structs.replace(
            self,
            per_s=self.per_s / workers,
            burst=self.burst / workers,
            service_per_s=self.service_per_s / workers,
            service_burst=self.service_burst / workers,
        )


class SamplingPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All that the kernels need: part of a Policy."""

    rate: float = 1.0
    """Of services that nothing else fits."""
    signals: tuple[Signal, ...] = (Signal.TRACES,)
    precision: int = 4
    services: Mapping[str, ServiceRate] = {}
    """By exact name."""
    patterns: tuple[tuple[str, ServiceRate], ...] = ()
    """By glob; the first that fits counts, after exact names."""
    priority: Priority = Priority.NORMAL
    """Of services that nothing else fits."""
    shed: Shed = Shed()
    limit: Limit = Limit()

    @classmethod
    def of(cls, config: SamplingConfig) -> Self:
        """What the configuration of one gateway says, without a fleet."""
        return cls(rate=config.rate, signals=config.signals, precision=config.precision)

    def of_service(self, name: str) -> ServiceRate:
        """What holds for one service."""
        if name in self.services:
            return self.services[name]
        others = ServiceRate(rate=self.rate, priority=self.priority)
        return next((rate for pattern, rate in self.patterns if matches(pattern, name)), others)


class ServiceLoad(msgspec.Struct, frozen=True, kw_only=True):
    """Spans of one service that one gateway saw, per second."""

    received: float = 0.0
    errors: float = 0.0
    """Of those received, the ones with an error status."""
    kept: float = 0.0
    arrived: Mapping[int, float] = {}
    """Of those received, the ones that came already sampled: by k, where their probability is about 2^-k, k >= 1."""
    kept_bytes: float = 0.0


OTHER = "_other"
"""The service under which those without a name of their own in a sum are summed up."""

Observed = Mapping[str, ServiceLoad]
"""By service; at most some hundreds of names, the rest summed up under `_other`."""
