"""sample: decides for every item whether it is kept, writes `ot=th` on what is, and opens the books."""

from typing import final

from sidecar._native.scan import Tick

@final
class Sampling:
    """The thresholds of a policy: 0 keeps everything, 2^56 nothing.

    signals: numbers of those that are sampled; precision: hex digits of thresholds that are rounded.
    """

    def __init__(self, rate: float, signals: frozenset[int], precision: int = 4) -> None: ...
    def set_service(self, service: int, threshold: int, traffic_class: int = 1) -> None:
        """Gives the service of a ledger number its own threshold, and its class: 0 high, 1 normal, 2 low."""

    def set_shed(self, traffic_class: int, threshold: int) -> None:
        """Sheds a class of traffic (0 high, 1 normal, 2 low, 3 errors of any service) in proportion, on top."""

def probability_to_threshold(probability: float, precision: int = 4) -> int:
    """T of a probability in [0, 1]; 0 keeps nothing: 2^56, which is no threshold that th may name."""

def threshold_to_text(threshold: int) -> str:
    """T as th has it: hex without trailing zeros."""

def sample(tick: Tick, sampling: Sampling) -> int:
    """Judges the tick's items and books them; the number of items that are kept."""
