"""What one worker samples by: a plan, which speaks of names, as a table of thresholds by the ids of its ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sidecar._native.sample import ERRORS, HIGH, LOW, NORMAL, Sampling, probability_to_threshold
from sidecar.model import OnLimit, Priority, Signal
from sidecar.sampling.plan import Cause, SamplingPlan, ServiceRate

CLASSES: Final = {Priority.HIGH: HIGH, Priority.NORMAL: NORMAL, Priority.LOW: LOW}
"""The kernel's number of a traffic class."""
CAUSES: Final = {cause: number for number, cause in enumerate(Cause)}
"""The kernel's number of a cause."""
SIGNALS: Final = {signal: number for number, signal in enumerate(Signal)}


class Sampler:
    """One plan in one of `workers` alike. Made anew for every policy; the buckets of limits go on from `former`."""

    def __init__(self, plan: SamplingPlan, workers: int = 1, former: Sampler | None = None) -> None:
        self._plan = plan
        self._others = ServiceRate(rate=plan.rate, priority=plan.priority)
        signals = frozenset(SIGNALS[signal] for signal in plan.signals)
        self.table = Sampling(plan.rate, signals, plan.precision, CLASSES[plan.priority])
        for number, share in {
            HIGH: plan.shed.high,
            NORMAL: plan.shed.normal,
            LOW: plan.shed.low,
            ERRORS: plan.shed.errors,
        }.items():
            self.table.set_shed(number, probability_to_threshold(share, plan.precision))
        limit = plan.limit.of_worker(workers)
        if limit.per_s or limit.service_per_s:
            self.table.set_limits(
                limit.per_s,
                limit.burst,
                limit.service_per_s,
                limit.service_burst,
                refuse=limit.on_limit is OnLimit.REFUSE,
            )
            if former is not None:
                self.table.follow(former.table)

    def meet(self, first: int, names: Sequence[str]) -> None:
        """Services of the ledger that have the ids from `first` on. They are decided by the plan from now on."""
        for service, name in enumerate(names, first):
            rate = self._plan.of_service(name)
            if rate != self._others:
                threshold = probability_to_threshold(rate.rate, self._plan.precision)
                self.table.set_service(service, threshold, CLASSES[rate.priority], CAUSES[rate.cause])
