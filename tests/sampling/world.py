"""A fleet without network: gateways that report late, a leader that solves, and time that is only counted.

A gateway reports means over the last REPORT_S every REPORT_S; the leader solves every SOLVE_S on the last reports; its
target is in force DELAY_S later.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from math import sqrt

import msgspec

from sidecar.config.fleet import GlobalConfig
from sidecar.config.schema import SamplingConfig
from sidecar.sampling.plan import Observed, SamplingPlan, ServiceLoad, Shed
from sidecar.sampling.settle import plan_of
from sidecar.sampling.solve import ControllerState, Solution, solve
from tests.sampling.configs import HOUR_UNIX_S

REPORT_S = 5
SOLVE_S = 2
DELAY_S = 1
LEASE_S = 15

Upstream = Mapping[str, float]
"""By service: the probability that its spans were sampled with before."""


class SimulatedGateway:
    """Receives whole seconds of load, with the noise of a Poisson process, and keeps what its plan says."""

    def __init__(self, load: Mapping[str, float], dice: random.Random, upstream: Upstream, phase: int) -> None:
        self.load = dict(load)
        self.shed = Shed()
        self.kept = 0.0
        self.report: Observed = {}
        self._dice, self._upstream, self._phase = dice, upstream, phase
        self._seconds: deque[dict[str, ServiceLoad]] = deque(maxlen=REPORT_S)

    def second(self, plan: SamplingPlan, now: int) -> None:
        """Lives through one second."""
        seen: dict[str, ServiceLoad] = {}
        for name, mean in self.load.items():
            received = max(self._dice.gauss(mean, sqrt(mean)), 0.0)
            came = self._upstream.get(name, 1.0)
            service = plan.of_service(name)
            expected = received * min(1.0, service.rate / came) * getattr(self.shed, service.priority)
            kept = min(max(self._dice.gauss(expected, sqrt(expected)), 0.0), received)
            arrived = {round_log2(came): received} if came < 1 else {}
            seen[name] = ServiceLoad(received=received, kept=kept, arrived=arrived)
        self.kept = sum(one.kept for one in seen.values())
        self._seconds.append(seen)
        if (now + self._phase) % REPORT_S == 0:
            self.report = self.observed()

    def observed(self) -> Observed:
        """Means over the last seconds."""
        return mean(self._seconds)


class World:
    """All gateways and, unless `led` is False, a leader."""

    def __init__(self, config: GlobalConfig, *, seed: int = 1, upstream: Upstream | None = None) -> None:
        self.config = config
        self.gateways: dict[str, SimulatedGateway] = {}
        self.led = True
        self.now = 0
        self.state = ControllerState()
        self.solution: Solution | None = None
        self.kept: list[float] = []
        self._dice = random.Random(seed)
        self._upstream = upstream or {}
        self._leases: list[tuple[int, Observed]] = []
        self._coming: deque[tuple[int, Solution]] = deque()

    def join(self, name: str, load: Mapping[str, float]) -> None:
        self.gateways[name] = SimulatedGateway(load, self._dice, self._upstream, len(self.gateways))

    def leave(self, name: str) -> None:
        """Without a word: its last report counts until its lease has run out."""
        self._leases.append((self.now + LEASE_S, self.gateways.pop(name).report))

    @property
    def plan(self) -> SamplingPlan:
        """What every gateway samples by."""
        told = self.solution
        return plan_of(
            SamplingConfig(rate=1.0 if self.config.sampling_rate is None else self.config.sampling_rate),
            self.config,
            told.rate if told else None,
            told.services if told else {},
        )

    @property
    def fleet_received(self) -> float:
        return sum(load.received for gateway in self.gateways.values() for load in gateway.report.values())

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            while self._coming and self._coming[0][0] <= self.now:
                self.solution = self._coming.popleft()[1]
            plan = self.plan
            for gateway in self.gateways.values():
                gateway.second(plan, self.now)
            self.kept.append(sum(gateway.kept for gateway in self.gateways.values()))
            self.now += 1
            if self.led and self.now % SOLVE_S == 0:
                self._solve()

    def mean_kept(self, since: int, until: int | None = None) -> float:
        """Spans per second that the fleet kept from one second to another."""
        those = self.kept[since:until]
        return sum(those) / len(those)

    def _solve(self) -> None:
        sums: dict[str, ServiceLoad] = {}
        gone = [report for until, report in self._leases if until > self.now]
        for report in (*gone, *(gateway.report for gateway in self.gateways.values())):
            for name, load in report.items():
                sums[name] = plus(sums.get(name, ServiceLoad()), load)
        solution = solve(
            self.config, 1.0, sums, self.state, now_unix_s=HOUR_UNIX_S + self.now, elapsed_s=float(SOLVE_S)
        )
        # what a successor would read, as the store has it
        self.state = msgspec.json.decode(msgspec.json.encode(solution.state), type=ControllerState)
        self._coming.append((self.now + DELAY_S, solution))


def round_log2(probability: float) -> int:
    """k of a probability of about 2^-k."""
    k = 0
    while probability < 2 ** -(k + 0.5):
        k += 1
    return k


def plus(one: ServiceLoad, other: ServiceLoad, factor: float = 1.0) -> ServiceLoad:
    ks = one.arrived.keys() | other.arrived.keys()
    return ServiceLoad(
        received=one.received + other.received * factor,
        kept=one.kept + other.kept * factor,
        errors=one.errors + other.errors * factor,
        arrived={k: one.arrived.get(k, 0.0) + other.arrived.get(k, 0.0) * factor for k in ks},
    )


def mean(seconds: deque[dict[str, ServiceLoad]]) -> dict[str, ServiceLoad]:
    sums: dict[str, ServiceLoad] = {}
    for second in seconds:
        for name, load in second.items():
            sums[name] = plus(sums.get(name, ServiceLoad()), load, 1 / len(seconds))
    return sums
