"""sample: decides for every item whether it is kept, writes `ot=th` on what is, and opens the books."""

from typing import Final, final

from sidecar._native.scan import Tick

HIGH: Final[int]
NORMAL: Final[int]
LOW: Final[int]
ERRORS: Final[int]  # items with an error, whatever the class of their service

@final
class Sampling:
    """The thresholds of a policy: 0 keeps everything, 2^56 nothing.

    rate, traffic_class: of services that have none of their own; signals: numbers of those that are sampled;
    precision: hex digits of thresholds that are rounded.
    """

    def __init__(self, rate: float, signals: frozenset[int], precision: int = 4, traffic_class: int = 1) -> None: ...
    def set_service(self, service: int, threshold: int, traffic_class: int = 1, cause: int = 0) -> None:
        """Gives the service of a ledger id its own threshold, class (HIGH, NORMAL, LOW) and cause (a Cause)."""

    def rule(self, service: int) -> tuple[int, int, int]:
        """Threshold, class and cause of a service."""

    def set_shed(self, traffic_class: int, threshold: int) -> None:
        """Sheds a class of traffic (HIGH, NORMAL, LOW, ERRORS) in proportion, on top of every rate."""

    def set_limits(
        self, per_s: float, burst: float, service_per_s: float, service_burst: float, refuse: bool = False
    ) -> None:
        """Limits on the spans that are kept per second, of all services and of each; 0 is none. Buckets are full.

        Over a limit fewer are kept, in proportion; with `refuse` requests are refused while there is a debt.
        """

    def follow(self, former: Sampling) -> None:
        """Goes on with the buckets of the former policy: a new one is no fresh start, and debts stay."""

    def levels(self, service: int = 0) -> tuple[float, float] | None:
        """Tokens in the bucket of all services and of one, as of its last tick; below 0 is a debt. None: no limits."""

def probability_to_threshold(probability: float, precision: int = 4) -> int:
    """T of a probability in [0, 1]; 0 keeps nothing: 2^56, which is no threshold that th may name."""

def threshold_to_text(threshold: int) -> str:
    """T as th has it: hex without trailing zeros."""

def sample(tick: Tick, sampling: Sampling) -> int:
    """Judges the tick's items and books them; the number of items that are kept."""
