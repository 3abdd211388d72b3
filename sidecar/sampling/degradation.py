"""Degradation: an overloaded gateway keeps less, step by step, and comes back the same way.

               load >= threshold                       load <= recovery threshold
      CALM ------------------------> SHEDDING <------------------------------------> RECOVERING
       ^                              (another step up         load >= threshold      (another step down
       |                               while it stays so)                              while it stays so)
       +------------------------------------- nothing is shed any more -------------------+

Every step holds for `min_hold` at least; between the two thresholds the level stays as it is.

A step aims at the middle of the two thresholds, as if load were in proportion to what is kept. In truth it falls by
less, since what is shed has been received. So one step down never brings load back to the threshold, and one step up
never takes it below recovery: a constant load settles. Only steps up in a row square what they do each time, for a
gateway that is far over; what they overdo comes back by steps down.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from sidecar.config.fleet import DegradationConfig
from sidecar.sampling.plan import Shed
from sidecar.sampling.shed import at_level, left_at, level_for

ALL_NORMAL = (0.0, 1.0, 0.0, 0.0)
"""What is assumed to be kept by class while nothing is known of it."""
_LEAST_LOAD = 0.01
_LEAST_LEFT = 0.01
"""Of all: where the way back begins when nothing is left."""
_RUN_MAX = 4


class Phase(StrEnum):
    """See the drawing."""

    CALM = "calm"
    SHEDDING = "shedding"
    RECOVERING = "recovering"


class Degradation:
    """Takes a measurement at a time. The configuration may be replaced at any time; where it is stays."""

    def __init__(self, config: DegradationConfig | None = None) -> None:
        self.config = config or DegradationConfig()
        self.phase = Phase.CALM
        self.level = 0.0
        """0: nothing is shed; 1: every class is at the target rate."""
        self._moved_s: float | None = None
        self._run = 0

    def step(
        self,
        utilization: float,
        forecast: float,
        confidence: float,
        now_s: float,
        kept: Sequence[float] = ALL_NORMAL,
    ) -> Shed:
        """What to shed from now on.

        forecast: of the utilization, trusted as far as `confidence`, 0 to 1, says; it can only add to it. now_s: on a
        monotonic clock. kept: by class, before shedding (`kept_by_class`); classes without traffic are stepped over.
        """
        config = self.config
        load = max(utilization, utilization + confidence * (forecast - utilization))
        held = self._moved_s is not None and now_s - self._moved_s < config.min_hold_s
        if not config.enabled:
            self.phase, self.level, self._moved_s, self._run = Phase.CALM, 0.0, None, 0
        elif config.recovery_threshold < load < config.threshold:
            self._run = 0
        elif load >= config.threshold and not held:
            self._go(Phase.SHEDDING, max(self.level, self._aimed(load, kept)), now_s)
        elif load <= config.recovery_threshold and not held:
            self._run = 0
            self._go(Phase.RECOVERING, min(self.level, self._aimed(load, kept)), now_s)
        return at_level(self.level, config.target_rate)

    def _aimed(self, load: float, kept: Sequence[float]) -> float:
        """The level that would bring load to the middle of the thresholds."""
        floor = self.config.target_rate
        aim = (self.config.threshold + self.config.recovery_threshold) / 2
        left = left_at(kept, self.level, floor)
        factor = (aim / max(load, _LEAST_LOAD)) ** (2**self._run)
        return level_for(kept, left * factor if left > 0 else sum(kept) * _LEAST_LEFT, floor)

    def _go(self, phase: Phase, level: float, now_s: float) -> None:
        if level == self.level:
            return
        self._run = min(self._run + 1, _RUN_MAX) if level > self.level else 0
        self.level, self._moved_s = level, now_s
        self.phase = phase if level > 0 else Phase.CALM
