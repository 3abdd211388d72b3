"""What limits should do: their token buckets, in Python from their description."""

import math
from dataclasses import dataclass, field

from tests.kernels.judge import threshold_of

SMOOTH_S = 0.05


@dataclass
class Bucket:
    per_s: float
    burst: float
    level: float | None = None
    """None until its first tick: then it is full."""
    filled_s: float = 0.0

    @property
    def smooth(self) -> float:
        return max(1.0, self.per_s * SMOOTH_S)

    def fill(self, now_s: float) -> None:
        full = max(self.burst, self.smooth)
        level = full if self.level is None else self.level + self.per_s * (now_s - self.filled_s)
        self.level, self.filled_s = min(full, level), now_s

    def share(self, n: float, steps: int = 0) -> float:
        """Of n items that come at once; with steps as if in so many parts, one after the other."""
        assert self.level is not None
        level, s = self.level, self.smooth
        if self.per_s == 0:
            return 1.0
        if steps:
            for _ in range(steps):
                level -= n / steps * min(1.0, math.exp(level / s))
            return (self.level - level) / n
        if n <= level:
            return 1.0
        if level > 0:
            return (level + s * math.log1p((n - level) / s)) / n
        debt = s * math.log1p(n / s * math.exp(level / s))
        return debt / n if n >= 1e-6 * s else math.exp(level / s)


@dataclass
class Limits:
    """Of all services, and of each."""

    per_s: float
    burst: float
    service_per_s: float
    service_burst: float
    services: dict[str, Bucket] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.total = Bucket(self.per_s, self.burst)

    def ration(self, now_s: float, expected: dict[str, float]) -> dict[str, int]:
        """The thresholds of a tick that would keep so many items of each service without limits."""
        self.total.fill(now_s)
        shares = {}
        for name, n in expected.items():
            bucket = self.services.setdefault(name, Bucket(self.service_per_s, self.service_burst))
            bucket.fill(now_s)
            shares[name] = bucket.share(n)
        total = self.total.share(sum(expected[name] * share for name, share in shares.items()))
        return {name: threshold_of(share * total, 4) for name, share in shares.items()}

    def spend(self, name: str, kept: int) -> None:
        for bucket in (self.total, self.services[name]):
            assert bucket.level is not None
            bucket.level -= kept
