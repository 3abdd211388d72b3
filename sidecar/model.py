"""The words of the gateway: values that every layer shares, and the names that people write in a configuration."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache
from ipaddress import IPv6Address
from typing import Any, Self

import msgspec

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*\.?")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")


class Signal(StrEnum):
    """What a request carries."""

    TRACES = "traces"
    LOGS = "logs"
    METRICS = "metrics"
    PROFILES = "profiles"

    @property
    def items(self) -> str:
        """What is counted in it: `spans`, `log_records`, `metric_points`, `profiles`."""
        return _ITEMS[self]


_ITEMS = {
    Signal.TRACES: "spans",
    Signal.LOGS: "log_records",
    Signal.METRICS: "metric_points",
    Signal.PROFILES: "profiles",
}


class Ack(StrEnum):
    """What an OK to a client promises."""

    FORWARDED = "forwarded"
    """A backend has accepted every kept item of the request."""
    QUEUED = "queued"
    """The request is queued in memory; a crash loses it."""


class Compression(StrEnum):
    """How calls to a backend are compressed."""

    NONE = "none"
    GZIP = "gzip"


class Ownership(StrEnum):
    """Whether all items of a trace go to one backend, whichever gateway they enter by."""

    TRACE = "trace"
    NONE = "none"


class RoutingStrategy(StrEnum):
    """How the backend of an item is chosen."""

    CONSISTENT_HASH = "consistent_hash"
    ROUND_ROBIN = "round_robin"
    WEIGHTED_ROUND_ROBIN = "weighted_round_robin"
    LEAST_CONNECTIONS = "least_connections"
    INTELLIGENT = "intelligent"

    @property
    def ownerships(self) -> tuple[Ownership, ...]:
        """What the strategy can promise, the default first."""
        match self:
            case RoutingStrategy.CONSISTENT_HASH:
                return (Ownership.TRACE,)
            case RoutingStrategy.INTELLIGENT:
                return (Ownership.TRACE, Ownership.NONE)
            case _:
                return (Ownership.NONE,)


class SamplingStrategy(StrEnum):
    """How the rate of a service is found."""

    FIXED = "fixed"
    ADAPTIVE = "adaptive"
    PRIORITY_BASED = "priority_based"
    COST_BASED = "cost_based"


class Priority(StrEnum):
    """The traffic class of a service: under shedding the lowest goes first."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class OnLimit(StrEnum):
    """What happens to spans over a limit when thresholds alone have not kept them under it."""

    SAMPLE = "sample"
    """More of them are sampled out; adjusted counts stay true."""
    REFUSE = "refuse"
    """The request is refused: UNAVAILABLE, with a time to retry."""


class Fairness(StrEnum):
    """How `adaptive` spreads what may be kept."""

    UNIFORM = "uniform"
    """One rate for all services."""
    MAX_MIN = "max_min"
    """Rare services are kept whole, the frequent ones share the rest."""


class Health(StrEnum):
    """What is known of a collector."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


class RegionHealth(StrEnum):
    """A region by the share of its collectors that are healthy: from 80 %, from 50 %, below."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


class StoreKind(StrEnum):
    """Where the fleet's state lives."""

    MEMORY = "memory"
    """In this gateway, kept on disk: a fleet of one."""
    ETCD = "etcd"


class MemberSource(StrEnum):
    """Who says which backends there are."""

    STATIC = "static"
    """`backends:` of the configuration."""
    REGISTRY = "registry"
    """The collectors that are registered in the region."""


class LogLevel(StrEnum):
    """The least severe message that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """Lines for people, or JSON objects for machines."""

    TEXT = "text"
    JSON = "json"


class Endpoint(msgspec.Struct, frozen=True, order=True):
    """A TCP address: a host name or IP address, and a port (0: any free one)."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:port` or `[v6]:port`. ValueError says in one line what is wrong with it."""
        if _SCHEME.match(text):
            raise ValueError("is a URL; write HOST:PORT, without the scheme")
        host, colon, port = text.rpartition(":")
        if not colon:
            raise ValueError("has no port; write HOST:PORT")
        if host.startswith("[") and host.endswith("]"):
            host = _v6(host[1:-1])
        elif ":" in host:
            raise ValueError("is ambiguous; write an IPv6 address in brackets: [::1]:4317")
        elif not host:
            raise ValueError("has no host; 0.0.0.0 stands for every interface")
        elif not _HOST.fullmatch(host):
            raise ValueError(f"has a host that is no name and no address: {host!r}")
        if not (port.isascii() and port.isdigit() and int(port) <= 65535):
            raise ValueError(f"has a port that is no number from 0 to 65535: {port!r}")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@cache
def release() -> str:
    """The version that is installed, as in `0.1.0`; `0` in a checkout that is not."""
    from importlib import metadata  # not for everybody: it costs more than this module

    try:
        return metadata.version("spangate")
    except metadata.PackageNotFoundError:
        return "0"


def _v6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise ValueError(f"has brackets around what is no IPv6 address: {text!r}") from None


class Secret(msgspec.Struct, frozen=True):
    """Text that no dump, log line or traceback may show: it prints as `***`, and `reveal()` is its only way out."""

    _value: str

    def reveal(self) -> str:
        """The text itself."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []
