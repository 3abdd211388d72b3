"""What the leader makes of the load that is reported of one service: a steady estimate that is never late to rise."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log, sqrt
from typing import Self

import msgspec

from sidecar.sampling.demand import Demand
from sidecar.sampling.plan import Observed, ServiceLoad

CALM_S = 5.0
"""Time constant of the mean while the load is steady."""
FALL_S = 2.0
"""Time constant while it falls by more than chance."""
SURE_S = 10.0
"""How long a rate has been in force before what is kept tells anything: reports are some seconds old."""
BIAS_S = 10.0
"""Time constant of the bias."""
_STEP = 0.25
_CHANCES = 2.0
_FORGOTTEN = 1e-3
_MOVED = 0.1


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """A service as it is estimated. All rates are spans per second."""

    received: float = 0.0
    arrived: Mapping[int, float] = {}
    """As in ServiceLoad."""
    bias: float = 1.0
    """Probabilities arrive rounded to powers of two: the rounded one in relation to what it must have been."""
    rate: float = -1.0
    """The one that it was given last; below 0: none yet."""
    steady_s: float = 0.0
    """How long that is about the same."""

    @property
    def demand(self) -> Demand:
        """What it sends."""
        return Demand.of(self.received, self.arrived, self.bias)

    def seen(self, load: ServiceLoad, elapsed_s: float) -> Self:
        """With what is reported now. A rise by more than a quarter, and more than chance, is believed at once."""
        margin = _STEP * self.received + _CHANCES * sqrt(self.received)
        if load.received > self.received + margin:
            share = 1.0
        else:
            share = _share(elapsed_s, FALL_S if load.received < self.received - margin else CALM_S)
        ks = self.arrived.keys() | load.arrived.keys()
        arrived = {k: _towards(self.arrived.get(k, 0.0), load.arrived.get(k, 0.0), share) for k in ks}
        return msgspec.structs.replace(
            self,
            received=_towards(self.received, load.received, share),
            arrived={k: rate for k, rate in sorted(arrived.items()) if rate > _FORGOTTEN},
            bias=self._bias(load, elapsed_s),
        )

    def given(self, rate: float, elapsed_s: float) -> Self:
        """With the rate that it is sampled by from now on."""
        moved = abs(rate - self.rate) > _MOVED * self.rate
        return msgspec.structs.replace(self, rate=rate, steady_s=0.0 if moved else self.steady_s + elapsed_s)

    def _bias(self, load: ServiceLoad, elapsed_s: float) -> float:
        """From what was kept, bounded by what rounding can do: 2^(1/2) either way."""
        if self.steady_s < SURE_S or not load.arrived:
            return self.bias
        expected = Demand.of(load.received, load.arrived, self.bias).kept(self.rate)
        if not (expected > 0 and load.kept > 0):
            return self.bias
        bias = self.bias * exp(log(load.kept / expected) * _share(elapsed_s, BIAS_S))
        return min(max(bias, sqrt(0.5)), sqrt(2))


def followed(observed: Observed, tracks: Mapping[str, Track], elapsed_s: float) -> dict[str, Track]:
    """All services, with what is reported now. One that is no longer reported fades away."""
    nothing, unknown = ServiceLoad(), Track()
    after = {
        name: tracks.get(name, unknown).seen(observed.get(name, nothing), elapsed_s)
        for name in sorted(observed.keys() | tracks.keys())
    }
    return {name: track for name, track in after.items() if track.received > _FORGOTTEN}


def _towards(held: float, seen: float, share: float) -> float:
    return held + (seen - held) * share


def _share(elapsed_s: float, constant_s: float) -> float:
    """Of an exponential mean: what the new value counts for."""
    return 1.0 - exp(-max(elapsed_s, 0.0) / constant_s)
