"""What can be configured. Frozen values: a section of the file is a class, and the docstrings are the manual.

A duration is kept in seconds and its field ends in `_s`; the file writes a unit instead, so there its key has no
suffix. The values survive `msgspec.json` in both directions, which is how workers get them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import msgspec

from sidecar.config import defaults as default
from sidecar.config.check_text import HealthCheck
from sidecar.config.kinds import (
    Address,
    Choice,
    Count,
    Duration,
    Headers,
    Hidden,
    KeyName,
    KeyPrefix,
    Many,
    Name,
    Number,
    Size,
    Switch,
    Url,
)
from sidecar.model import (
    Ack,
    Compression,
    Endpoint,
    LogFormat,
    LogLevel,
    MemberSource,
    Ownership,
    RoutingStrategy,
    Secret,
    Signal,
    StoreKind,
)

Ratio = Annotated[float, Number(most=1)]
Seconds = Annotated[float, Duration()]
Bytes = Annotated[int, Size(least=default.KIB)]
Yes = Annotated[bool, Switch()]

_WITHOUT_TRACE_IDS = (Signal.METRICS, Signal.PROFILES)


def key_of(attribute: str) -> str:
    """The key in the file of a field: `max_wait_s` is written `max_wait`, for it has a unit; a rate stays as it is."""
    return attribute if attribute.endswith("_per_s") else attribute.removesuffix("_s")


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename=key_of):
    """A mapping in the file. As JSON it says only what is not left at its default."""

    plural: ClassVar[str] = "sections"
    """What the manual calls several of them."""
    strangers: ClassVar[Mapping[str, str]] = {}
    """Keys that have their place somewhere else altogether, and what to tell who writes them here."""


class BackendConfig(Section, frozen=True, kw_only=True):
    """A collector to forward to, by OTLP/gRPC. `HOST:PORT,weight=2,header.api-key=...` is the short form."""

    plural: ClassVar[str] = "backends"

    address: Annotated[Endpoint, Address()]
    """Where it listens."""
    name: Annotated[str, Name()] = ""
    """What metrics and views call it."""
    weight: Annotated[float, Number(most=1000)] = default.BACKEND_WEIGHT
    """Its share relative to the others; 0 sends it nothing."""
    headers: Annotated[Mapping[str, Secret], Headers()] = {}
    """Sent with every call. The values are masked wherever the configuration is shown."""
    compression: Annotated[Compression | None, Choice(Compression)] = None
    """How calls to it are compressed."""
    max_message_bytes: Bytes = default.BACKEND_MAX_MESSAGE_BYTES
    """The largest message it takes; a larger part becomes several calls."""

    def __post_init__(self) -> None:
        if not self.name:
            msgspec.structs.force_setattr(self, "name", str(self.address))


class RoutingConfig(Section, frozen=True, kw_only=True):
    """Which backend an item goes to.

    `consistent_hash` and `intelligent` give every trace one owner, the same at every gateway. The others, and
    `intelligent` with `ownership: none`, send each request whole to one backend: cheapest, but they split traces.
    """

    members: Annotated[MemberSource | None, Choice(MemberSource)] = None
    """Who says which backends there are."""
    strategy: Annotated[RoutingStrategy, Choice(RoutingStrategy)] = default.ROUTING_STRATEGY
    """How a backend is chosen."""
    ownership: Annotated[Ownership | None, Choice(Ownership)] = None
    """Whether a trace has one owner."""
    load_weight: Ratio = default.ROUTING_LOAD_WEIGHT
    """What load counts for in `intelligent`."""
    latency_weight: Ratio = default.ROUTING_LATENCY_WEIGHT
    """What latency counts for in `intelligent`."""
    capacity_weight: Ratio = default.ROUTING_CAPACITY_WEIGHT
    """What free capacity counts for in `intelligent`."""
    dead_band: Ratio = default.ROUTING_DEAD_BAND
    """The relative change of a weight below which `intelligent` moves nothing."""
    affinity_window_s: Seconds = default.ROUTING_AFFINITY_WINDOW_S
    """How long a known trace stays with its former owner after a change."""
    effective_in_s: Seconds = default.ROUTING_EFFECTIVE_IN_S
    """The notice that a planned change is given before it acts. Where the registry says who there is: of the leader."""

    def __post_init__(self) -> None:
        if self.ownership is None:
            msgspec.structs.force_setattr(self, "ownership", self.strategy.ownerships[0])

    @property
    def owning(self) -> bool:
        """Whether all items of a trace go to one backend."""
        return self.ownership is Ownership.TRACE


class SamplingConfig(Section, frozen=True, kw_only=True):
    """Consistent probability sampling by trace id: gateways at one rate keep the same traces."""

    rate: Ratio = default.SAMPLING_RATE
    """The share of traces that is kept."""
    signals: Annotated[tuple[Signal, ...], Many(Choice(Signal, unfit=_WITHOUT_TRACE_IDS))] = default.SAMPLING_SIGNALS
    """What is sampled; what carries no trace ids cannot be. `[]` is nothing."""
    precision: Annotated[int, Count(least=1, most=14)] = default.SAMPLING_PRECISION
    """Hexadecimal digits of the threshold that is written to `ot=th`."""


class BackoffConfig(Section, frozen=True, kw_only=True):
    """The pause before a retry at the same backend: doubled each time, with full jitter."""

    initial_s: Annotated[float, Duration(least=0.001)] = default.DELIVERY_BACKOFF_INITIAL_S
    """The upper bound of the first pause."""
    max_s: Annotated[float, Duration(least=0.001)] = default.DELIVERY_BACKOFF_MAX_S
    """The upper bound of any pause."""


class DeliveryConfig(Section, frozen=True, kw_only=True):
    """What an OK to a client promises, and what is done to keep the promise."""

    ack: Annotated[Ack, Choice(Ack, planned=("durable",))] = default.DELIVERY_ACK
    """When a client gets its OK. `forwarded`: a backend has the data. `queued`: memory has it, a crash loses it."""
    max_wait_s: Annotated[float, Duration(least=0.01)] = default.DELIVERY_MAX_WAIT_S
    """The time to deliver a request, where the client gives no shorter deadline."""
    queued_for_s: Annotated[float, Duration(least=0.01)] = default.DELIVERY_QUEUED_FOR_S
    """The time to deliver what has its OK already (`ack: queued`); then it is dropped."""
    max_retries: Annotated[int, Count(most=100)] = default.DELIVERY_MAX_RETRIES
    """Retries at one owner before the next owner is tried."""
    backoff: BackoffConfig = BackoffConfig()
    compression: Annotated[Compression, Choice(Compression)] = default.DELIVERY_COMPRESSION
    """How calls to backends are compressed."""
    max_in_flight: Annotated[int, Count(least=1, most=1024)] = default.DELIVERY_MAX_IN_FLIGHT
    """Calls that a worker has open at one backend."""
    may_duplicate_on_reset: Yes = default.DELIVERY_MAY_DUPLICATE_ON_RESET
    """Resend what was under way on a connection that died: it may arrive twice."""
    may_duplicate_on_timeout: Yes = default.DELIVERY_MAY_DUPLICATE_ON_TIMEOUT
    """Resend what a slow backend has not answered: it may arrive twice."""


class BatchConfig(Section, frozen=True, kw_only=True):
    """When the parts that gather for a backend leave as one call. An idle backend gets its part at once."""

    max_bytes: Bytes = default.BATCH_MAX_BYTES
    """A call leaves when it holds this much."""
    max_items: Annotated[int, Count(least=1, most=10_000_000)] = default.BATCH_MAX_ITEMS
    """A call leaves when it holds this many items."""
    max_wait_s: Seconds = default.BATCH_MAX_WAIT_S
    """The longest that a part waits for company."""
    pacing_s: Annotated[float, Duration(most=0.1)] = default.BATCH_PACING_S
    """Gather this long while requests come faster than that: less CPU, for some latency."""


class LimitsConfig(Section, frozen=True, kw_only=True):
    """Bounds of what the gateway holds. It absorbs first and refuses last: UNAVAILABLE, with a time to retry."""

    message_bytes: Bytes = default.LIMITS_MESSAGE_BYTES
    """The largest request, after decompression."""
    memory_bytes: Annotated[int, Size(least=default.MIB)] = default.LIMITS_MEMORY_BYTES
    """Bodies and queues of all workers together."""
    soft_memory_ratio: Annotated[float, Number(least=0.1, most=1)] = default.LIMITS_SOFT_MEMORY_RATIO
    """The part of `memory_bytes` from which each client is held to its share, and unsent work of gone ones dropped."""
    backend_queue_bytes: Bytes = default.LIMITS_BACKEND_QUEUE_BYTES
    """What may wait for one backend."""
    items: Annotated[int, Count(most=10**9)] = default.LIMITS_ITEMS
    """Spans, log records and data points that all workers together have in flight; 0 is no limit."""
    connections: Annotated[int, Count(least=1, most=1_000_000)] = default.LIMITS_CONNECTIONS
    """Client connections of all workers together."""
    streams_per_connection: Annotated[int, Count(least=1, most=100_000)] = default.LIMITS_STREAMS_PER_CONNECTION
    """Requests that one connection may have open."""


class ReceiverConfig(Section, frozen=True, kw_only=True):
    """The care of client connections."""

    connection_max_age_s: Seconds = default.RECEIVER_CONNECTION_MAX_AGE_S
    """The age at which a connection is asked to reconnect, with jitter; 0 is never."""
    connection_max_age_grace_s: Seconds = default.RECEIVER_CONNECTION_MAX_AGE_GRACE_S
    """The time that its open requests then have to finish."""
    keepalive_time_s: Seconds = default.RECEIVER_KEEPALIVE_TIME_S
    """The silence after which a connection is pinged; 0 is never."""
    keepalive_timeout_s: Annotated[float, Duration(least=0.1)] = default.RECEIVER_KEEPALIVE_TIMEOUT_S
    """The time a ping has to come back before the connection is closed."""


class AdminGrpcConfig(Section, frozen=True, kw_only=True):
    """The admin service on TCP, for who changes the fleet from another machine: always with TLS and a token."""

    listen: Annotated[Endpoint | None, Address(any_port=True)] = None
    """Where it listens. Empty: on the Unix socket alone."""
    cert_file: Annotated[str, Name(longest=4096)] = ""
    """The certificate that it shows."""
    key_file: Annotated[str, Name(longest=4096)] = ""
    """Its key."""
    client_ca_file: Annotated[str, Name(longest=4096)] = ""
    """Callers must show a certificate that these have signed. Empty: the token is enough."""
    token: Annotated[Secret | None, Hidden()] = None
    """What callers must send as `authorization: Bearer TOKEN`."""


class AdminConfig(Section, frozen=True, kw_only=True):
    """Health, metrics, ledger and configuration over HTTP. There is no authentication: keep it on loopback."""

    listen: Annotated[Endpoint, Address(any_port=True)] = default.ADMIN_LISTEN
    """Where the admin listens; port 0 takes any free one."""
    socket: Annotated[str, Name(longest=107)] = ""
    """The Unix socket through which the fleet is changed. Commands go by the variable too: it names one gateway."""
    grpc: AdminGrpcConfig = AdminGrpcConfig()


class CoordinationConfig(Section, frozen=True, kw_only=True):
    """Where gateways meet. `memory` is a fleet of one that needs nothing else; `etcd` is a fleet."""

    store: Annotated[StoreKind, Choice(StoreKind)] = default.COORDINATION_STORE
    """Where the fleet's state lives."""
    endpoints: Annotated[tuple[Endpoint, ...], Many(Address())] = default.COORDINATION_ENDPOINTS
    """The members of etcd."""
    prefix: Annotated[str, KeyPrefix()] = default.COORDINATION_PREFIX
    """What all keys begin with."""
    username: Annotated[str, Name()] = ""
    """The user of etcd, where it asks for one."""
    password: Annotated[Secret | None, Hidden()] = None
    """The user's password."""
    ca_file: Annotated[str, Name(longest=4096)] = ""
    """The certificates that sign etcd's: TLS is used when this is given. `system` takes those of the system."""
    cert_file: Annotated[str, Name(longest=4096)] = ""
    """The certificate that is shown to etcd."""
    key_file: Annotated[str, Name(longest=4096)] = ""
    """Its key."""
    timeout_s: Annotated[float, Duration(least=0.1, most=60)] = default.COORDINATION_TIMEOUT_S
    """The longest that a call to the store may take."""
    lease_ttl_s: Annotated[float, Duration(least=1, most=3600)] = default.COORDINATION_LEASE_TTL_S
    """The silence after which the fleet forgets this gateway. It is renewed three times in that time."""
    announce_every_s: Annotated[float, Duration(least=0.1, most=600)] = default.COORDINATION_ANNOUNCE_EVERY_S
    """How often load is announced at most; with jitter, and only when it has changed."""
    state_dir: Annotated[str, Name(longest=4096)] = ""
    """The folder of the last good configuration and view."""


class CollectorConfig(Section, frozen=True, kw_only=True):
    """The collector that this gateway runs beside: it registers it for the fleet, and tells how it does."""

    endpoint: Annotated[Endpoint | None, Address()] = None
    """Where other gateways reach its OTLP/gRPC. Empty: there is no collector."""
    id: Annotated[str, KeyName()] = ""
    """Its id in the fleet."""
    health_url: Annotated[str, HealthCheck()] = ""
    """What answers 200 while it is well, or another check. Empty: a connection to its endpoint is the test."""
    checks: Annotated[tuple[str, ...], Many(HealthCheck())] = ()
    """What must hold beside that: `queue:0.95`, `memory:0.9`, `disk:/var/lib/otelcol:0.9`."""
    metrics_url: Annotated[str, Url()] = ""
    """Its own metrics in Prometheus format, from which its load is read."""
    capacity_qps: Annotated[float, Number(most=1e12)] = 0.0
    """Spans per second that it can take. 0: learnt."""
    cpus: Annotated[float, Number(most=1e6)] = 0.0
    """The CPUs that it may use, which are 100 % of its CPU figure. 0: those of this machine."""
    memory_bytes: Annotated[int, Size()] = 0
    """The memory that it may use, which is 100 % of its memory figure. 0: that of this machine."""
    weight: Annotated[float, Number(most=1000)] = default.BACKEND_WEIGHT
    """Its share relative to the others in the region."""
    check_every_s: Annotated[float, Duration(least=0.1)] = default.COLLECTOR_CHECK_EVERY_S
    """How often it is looked at."""
    rise: Annotated[int, Count(least=1, most=100)] = default.COLLECTOR_RISE
    """Good looks in a row that make it healthy."""
    fall: Annotated[int, Count(least=1, most=100)] = default.COLLECTOR_FALL
    """Bad looks in a row that make it unhealthy."""

    def __post_init__(self) -> None:
        if self.endpoint and not self.id:
            msgspec.structs.force_setattr(self, "id", KeyName.fitted(str(self.endpoint)))


class ShutdownConfig(Section, frozen=True, kw_only=True):
    """How the gateway ends on SIGTERM: unready, GOAWAY, finish, flush."""

    drain_timeout_s: Seconds = default.SHUTDOWN_DRAIN_TIMEOUT_S
    """The time to finish all that was accepted."""
    unready_for_s: Seconds = default.SHUTDOWN_UNREADY_FOR_S
    """How long it serves on while `/readyz` says no, so that balancers look away first."""


class LogConfig(Section, frozen=True, kw_only=True):
    """The log, on standard error. What repeats is written ten times in ten seconds, then counted."""

    level: Annotated[LogLevel, Choice(LogLevel)] = default.LOG_LEVEL
    """The least severe message that is written."""
    format: Annotated[LogFormat, Choice(LogFormat)] = default.LOG_FORMAT
    """`text` for people, `json` for machines."""


class GatewayConfig(Section, frozen=True, kw_only=True):
    """The whole configuration of a gateway."""

    strangers: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("global", "local"), "that is for a fleet: `spangate config apply FILE` puts it into the store"
    )

    listen: Annotated[tuple[Endpoint, ...], Many(Address(any_port=True))] = default.LISTEN
    """Where OTLP/gRPC is received; port 0 takes any free one."""
    region: Annotated[str, KeyName(longest=64)] = default.REGION
    """The region it belongs to, also the `region` label of the metrics."""
    id: Annotated[str, KeyName()] = ""
    """Its id in the fleet."""
    advertise: Annotated[Endpoint | None, Address()] = None
    """The address under which others reach it."""
    workers: Annotated[int, Count(least=1, most=256)] = default.WORKERS
    """Processes of the data plane; each can fill a core."""
    backends: tuple[BackendConfig, ...] = ()
    """The collectors to forward to."""
    routing: RoutingConfig = RoutingConfig()
    sampling: SamplingConfig = SamplingConfig()
    delivery: DeliveryConfig = DeliveryConfig()
    batch: BatchConfig = BatchConfig()
    limits: LimitsConfig = LimitsConfig()
    receiver: ReceiverConfig = ReceiverConfig()
    admin: AdminConfig = AdminConfig()
    coordination: CoordinationConfig = CoordinationConfig()
    collector: CollectorConfig = CollectorConfig()
    shutdown: ShutdownConfig = ShutdownConfig()
    log: LogConfig = LogConfig()

    def __post_init__(self) -> None:
        if self.routing.members is None:
            met = self.coordination.store is not StoreKind.MEMORY or self.collector.endpoint is not None
            source = MemberSource.REGISTRY if met and not self.backends else MemberSource.STATIC
            routing = msgspec.structs.replace(self.routing, members=source)
            msgspec.structs.force_setattr(self, "routing", routing)

    @property
    def needs_backends(self) -> bool:
        """Whether there is nowhere to forward to: no backend is named, and nobody else says who there is."""
        return not self.backends and self.routing.members is MemberSource.STATIC

    def compression_of(self, backend: BackendConfig) -> Compression:
        """How calls to `backend` are compressed: as it says itself, else as `delivery` says."""
        return backend.compression or self.delivery.compression
