from typing import Final, NamedTuple, final

from typing_extensions import Buffer

ARRIVED: Final[int]  # probabilities that are told apart
SAMPLED_OUT: Final[tuple[str, ...]]
DROPPED: Final[tuple[str, ...]]
ANSWERED: Final[tuple[str, ...]]

class LedgerRow(NamedTuple):
    signal: int
    service: str
    received: int
    in_flight: int
    forwarded: int
    sampled_out: int
    rejected: int
    requests: int
    dropped: tuple[int, ...]  # as DROPPED names them
    causes: tuple[int, ...] = ...  # of sampled_out, as SAMPLED_OUT names them

class ServiceRow(NamedTuple):
    service: str
    received: int
    errors: int
    kept: int
    kept_bytes: int
    arrived: tuple[int, ...]  # with a th, by probability: about 1/2, 1/4, ...; the last and below

class SignalRow(NamedTuple):
    requests: int
    answered: tuple[int, ...]  # as ANSWERED names them
    answered_bytes: tuple[int, ...]  # of their bodies
    duration_sum_ns: int
    duration: tuple[int, ...]  # below 2^k us
    batches: int
    batch_items: int
    batch_size: tuple[int, ...]  # below 2^k items

class BackendRow(NamedTuple):
    key: int
    up: bool
    connects: int
    calls: int
    failed_calls: int
    items: tuple[int, ...]  # by signal
    failed_items: tuple[int, ...]
    rejected_items: int
    sent_bytes: int
    retried: int
    rerouted: int
    queued_bytes: int
    in_flight: int
    latency_ns: int
    latency: tuple[int, ...]  # below 2^k us

class WorkerRow(NamedTuple):
    heartbeat_ns: int
    generation: int
    taken_bytes: int
    turns: int
    connections: int
    accepted: int
    accept_errors: int
    protocol_errors: int
    trace_id_missing: int
    old_field: int
    tracestate_bad: int
    forwarded_late: int
    live_buffers: int
    live_bytes: int
    detoured: int
    over_limit: int = ...
    fell_back: int = ...
    split_by_rules: int = ...

def page_bytes() -> int: ...

@final
class PageReader:
    def __init__(self, page: Buffer) -> None: ...
    def rows(self) -> list[LedgerRow]: ...
    def spans(self) -> list[ServiceRow]: ...
    def signals(self) -> list[SignalRow]: ...
    def backends(self) -> list[BackendRow]: ...
    def worker(self) -> WorkerRow: ...
    def bury(self) -> tuple[int, int]: ...
    @staticmethod
    def give_back(budget: Buffer, taken: int) -> None: ...
