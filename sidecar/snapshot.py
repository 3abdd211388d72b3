"""What the gateway says of itself at one instant: the values behind metrics, JSON, views and the demo.

They are also the JSON of the admin, field by field, so a field is only ever added.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate

import msgspec

from sidecar.errors import QuestionInvalid
from sidecar.model import Signal

_TRACE_ID = re.compile(r"(?!0{32})[0-9a-fA-F]{32}")

Shown = str | int | float | bool | list[str | int | float | bool] | None
"""The value of a setting, as JSON has it."""


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the items of one service. All fields are counts of items since the start but `in_flight`."""

    signal: Signal
    service: str
    received: int = 0
    forwarded: int = 0
    sampled_out: int = 0
    sampled_out_by: Mapping[str, int] = {}
    """The same by whose threshold was the highest: `rate`, `limit`, `shed`, `upstream`."""
    rejected: int = 0
    """Refused, and the client was told."""
    dropped: Mapping[str, int] = {}
    """Lost by reason: the client had its OK, or has gone."""
    in_flight: int = 0
    """Held right now: counted as such, never a remainder."""

    @property
    def dropped_total(self) -> int:
        """Items dropped for whatever reason."""
        return sum(self.dropped.values())

    @property
    def difference(self) -> int:
        """What cannot be accounted for. Anything but 0 is a fault of the gateway."""
        told = self.forwarded + self.sampled_out + self.rejected + self.dropped_total
        return self.received - told - self.in_flight


class LedgerSnapshot(msgspec.Struct, frozen=True):
    """The ledger at one instant."""

    rows: tuple[LedgerRow, ...] = ()

    def totals(self) -> tuple[LedgerRow, ...]:
        """A row for each signal that has any, its service `*`."""
        return tuple(
            _sum(signal, rows) for signal in Signal if (rows := [row for row in self.rows if row.signal is signal])
        )

    @property
    def difference(self) -> int:
        """What cannot be accounted for, the signals added without sign: two faults do not cancel out."""
        return sum(abs(row.difference) for row in self.rows)


class BackendStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A backend as this gateway sees it, all workers together."""

    name: str
    address: str
    up: bool
    reason: str = ""
    """Why it is not up, or what is odd about it."""
    weight: float = 1.0
    """As configured, or as the strategy has it now."""
    share: float = 0.0
    """Its part of the items that are forwarded now, 0 to 1."""
    queue_bytes: int = 0
    queue_limit_bytes: int = 0
    calls_in_flight: int = 0
    latency_p50_ms: float = 0.0
    latency_p99_ms: float = 0.0
    sent: Mapping[Signal, int] = {}
    """Items it has accepted since the start."""
    send_failed: Mapping[Signal, int] = {}
    """Items it has refused for good, or that were given up there."""
    retried: int = 0
    """Parts sent to it again."""
    rerouted: int = 0
    """Parts that were its own and went to the next owner."""
    rejected: int = 0
    """Items that it rejected by partial_success."""


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A process of the data plane."""

    number: int
    pid: int
    alive: bool
    heartbeat_age_s: float = 0.0
    generation: int = 0
    """Of the policy it works by."""
    connections: int = 0
    backends_up: int = 0
    """How many backends it can reach."""
    restarts: int = 0
    cpu_s: float = 0.0
    """Processor time since it started."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """How a gateway or collector does. Rates are per second over the last few seconds, the ratios 0 to 1 and above."""

    cpu: float = 0.0
    memory: float = 0.0
    queue: float = 0.0
    """Fill of its queues."""
    qps: float = 0.0
    """Spans per second received."""
    bytes_per_s: float = 0.0
    latency_ms: float = 0.0
    """Mean time in it: Little's law where nothing better is measured."""
    error_rate: float = 0.0
    """Of calls or items, the share that failed."""
    capacity_qps: float = 0.0
    """Spans per second that it can take; 0: not known."""
    forecast: float = 0.0
    """The utilization expected at the horizon."""
    confidence: float = 0.0
    """Of the forecast, 0 to 1."""

    @property
    def utilization(self) -> float:
        """(CPU + memory) / 2."""
        return (self.cpu + self.memory) / 2

    @property
    def available(self) -> float:
        """1 - load / capacity, 1 where no capacity is known."""
        return max(0.0, 1.0 - self.qps / self.capacity_qps) if self.capacity_qps else 1.0


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What happens per second, over the last few seconds."""

    requests: float = 0.0
    received: float = 0.0
    forwarded: float = 0.0
    sampled_out: float = 0.0
    refused: float = 0.0
    received_bytes: float = 0.0


class ScopeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far the gateway follows the fleet's configuration of one scope (`global`, `regions/R`)."""

    applied_version: int = 0
    applied_revision: int = 0
    refused_version: int = 0
    """A later one that it does not take; 0 if there is none."""
    refused: tuple[str, ...] = ()
    """Why."""


class FleetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway as a member of a fleet."""

    id: str = ""
    store: str = "memory"
    connected: bool = False
    """Whether the store is being heard."""
    silent_for_s: float = 0.0
    """Since the last sign of life of the store."""
    trouble: str = ""
    """What is wrong with the store."""
    unkept: str = ""
    """Why what is in force is not kept on disk; empty while it is."""
    namesake: str = ""
    """Address of another gateway with the same id: the fleet sees one of the two."""
    config_age_s: float = 0.0
    """Since the configuration in force was taken, or found to be still the newest."""
    scopes: Mapping[str, ScopeStatus] = {}
    view_epochs: Mapping[str, int] = {}
    """By region."""
    members: int = 0
    """Backends of the own region's view."""
    members_down: int = 0
    fallbacks: tuple[str, ...] = ()
    """Regions that rules name and that have no healthy collector: their services stay in the own region."""
    lease_valid: bool = False
    lease_losses: int = 0
    leads: tuple[str, ...] = ()
    """Offices that this gateway holds: `global`, `regions/R`."""
    led: bool = False
    """Whether anybody leads the fleet."""
    target_token: int = 0
    target_sequence: int = 0
    target_rate: float | None = None
    sampling_floor: float = 1.0
    """The lowest rate that the strategies allow; 1 where none moves it."""
    relists: int = 0
    resumes: int = 0
    resync_differences: int = 0
    watch_events: int = 0
    announced: int = 0


class Foresight(msgspec.Struct, frozen=True, kw_only=True):
    """How loaded the gateway is, is expected to be, and what it does about it."""

    load: Load = Load()
    utilization: float = 0.0
    """The worst of CPU, memory and queue."""
    forecast: float = 0.0
    confidence: float = 0.0
    horizon_s: float = 0.0
    error: float = 0.0
    """Mean absolute error of past forecasts."""
    naive_error: float = 0.0
    """The same of "it stays as it is"."""
    degradation_level: float = 0.0
    """0: nothing is shed; 1: all that may be."""
    shed: Mapping[str, Mapping[str, float]] = {}
    """Share that is left, by cause and class, where it is below 1. `degradation`: the gateway is overloaded; `ceiling`:
    nobody leads the fleet, and it keeps to its own share of the limits. Where both shed, their product is left."""


class GatewayStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway at one instant."""

    version: str
    region: str
    uptime_s: float
    ready: bool
    reason: str = ""
    """Why it is not ready."""
    generation: int = 0
    """Of the policy in force; workers may be one behind for a moment."""
    strategy: str = ""
    sampling_rate: float = 1.0
    memory_bytes: int = 0
    memory_limit_bytes: int = 0
    rates: Rates = Rates()
    latency_p50_ms: float = 0.0
    """From the last byte of a request to its answer."""
    latency_p99_ms: float = 0.0
    listen: tuple[str, ...] = ()
    workers: tuple[WorkerStatus, ...] = ()
    backends: tuple[BackendStatus, ...] = ()
    fleet: FleetStatus = FleetStatus()
    foresight: Foresight = Foresight()


class RequestCount(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of one service since the start."""

    signal: Signal
    service: str
    requests: int


class ErrorCount(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that were refused since the start, and their bytes; what is refused before scan is counted only here."""

    error_type: str
    """Lower-case gRPC status or a reason of ours: `invalid_argument`, `memory`, ..."""
    requests: int
    bytes: int = 0


class Histogram(msgspec.Struct, frozen=True):
    """How values were spread: `counts[i]` of them lie at or below `bounds[i]`, the last count is of all above."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float
    """The sum of the values."""

    def cumulative(self) -> Iterable[tuple[str, int]]:
        """Upper bound and count of everything up to it, as Prometheus wants it."""
        return zip([*map(str, self.bounds), "+Inf"], accumulate(self.counts), strict=True)


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of requests, which the ledger of items does not have."""

    requests: tuple[RequestCount, ...] = ()
    errors: tuple[ErrorCount, ...] = ()
    duration_s: Mapping[str, Histogram] = {}
    """By method, as in `TraceService/Export`."""
    batch_items: Histogram = Histogram((), (0,), 0.0)
    """Items in a call to a backend."""
    forwarded_late: int = 0
    """Items that a backend took after their client had been told UNAVAILABLE."""
    detoured: int = 0
    """Items that went to the next owner of their slot, their own being down here."""
    over_limit: int = 0
    """Spans of requests that were refused because a limit was used up."""
    fell_back: int = 0
    """Items that stayed in the own region, nobody of the one that a rule names being up."""
    split_by_rules: int = 0
    """Items that a routing rule parts from others of their trace."""
    tracestate_bad: int = 0
    """Spans whose tracestate is not well formed, or cannot be true."""
    trace_id_missing: int = 0
    """Spans without a usable trace id."""
    old_field: int = 0
    """Scopes in the place of old that were left out, being there in the new one too."""
    protocol_errors: int = 0
    """Client connections that were closed for what they sent."""
    accept_errors: int = 0
    """Times that no client could be let in, mostly for want of descriptors."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What `explain` is asked about: a trace, a service, or a trace as that service would send it."""

    signal: Signal = Signal.TRACES
    trace_id: str | None = None
    """32 lower-case hexadecimal digits."""
    service: str | None = None

    @classmethod
    def read(cls, trace_id: str | None, service: str | None, signal: str = Signal.TRACES) -> Question:
        """A question from text that a person typed. QuestionInvalid says what is wrong with it."""
        if not (trace_id or service):
            raise QuestionInvalid("nothing is asked about", "give a trace id, a service, or both")
        if signal not in list(Signal):
            raise QuestionInvalid(f"no such signal: {signal!r}", f"there are {', '.join(Signal)}")
        if trace_id is not None and not _TRACE_ID.fullmatch(trace_id):
            raise QuestionInvalid(f"no trace id: {trace_id!r}", "it has 32 hexadecimal digits, and not all are 0")
        return cls(signal=Signal(signal), trace_id=trace_id.lower() if trace_id else None, service=service or None)


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Where an item would go, whether it is kept, and why."""

    question: Question
    generation: int
    strategy: str
    owner: str | None
    """Name of the backend; None when each request is placed anew, or none is up."""
    next_owners: tuple[str, ...] = ()
    """Who takes over when the owner is down, in order."""
    slot: int | None = None
    kept: bool | None = None
    """None when it depends on what was not asked: no trace id was given."""
    sampling_rate: float = 1.0
    region: str = ""
    """Where it goes."""
    rule: str = ""
    """The pattern of the routing rule that decides about its service; empty where none does."""
    view_epoch: int = 0
    """Of the region's view: gateways that have the same one agree on the owner."""
    down: tuple[str, ...] = ()
    """Members that this view passes over."""
    reasons: tuple[str, ...] = ()
    """Sentences, the decisive ones first."""


class SettingValue(msgspec.Struct, frozen=True):
    """A setting in force, for showing: secrets are masked."""

    path: str
    value: Shown
    source: str
    """`store`, `flag`, `environment`, `file` or `default`."""
    where: str = ""
    """Place in the store, flag, variable, or file and line."""


def _sum(signal: Signal, rows: list[LedgerRow]) -> LedgerRow:
    dropped: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    for row in rows:
        dropped.update(row.dropped)
        causes.update(row.sampled_out_by)
    return LedgerRow(
        signal=signal,
        service="*",
        received=sum(row.received for row in rows),
        forwarded=sum(row.forwarded for row in rows),
        sampled_out=sum(row.sampled_out for row in rows),
        sampled_out_by=dict(causes),
        rejected=sum(row.rejected for row in rows),
        dropped=dict(dropped),
        in_flight=sum(row.in_flight for row in rows),
    )
