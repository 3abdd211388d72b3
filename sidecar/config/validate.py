"""The rules for a gateway: what no single value can be blamed for.

A rule that is broken refuses the configuration; advice is only given.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from sidecar.config import defaults as default
from sidecar.config.check_text import FIGURES
from sidecar.config.rules import Rule, rule
from sidecar.config.schema import GatewayConfig
from sidecar.errors import Problem
from sidecar.model import Ack, MemberSource, RoutingStrategy, Secret, StoreKind

BACKENDS_MAX = 1024
"""What the tables of the data plane have room for (MEMBERS_MAX of the native `rendezvous`)."""
_PRIVATE = ("127.", "localhost", "::1")


@rule("listen")
def somewhere_to_listen(config: GatewayConfig) -> Iterator[Problem]:
    if not config.listen:
        yield Problem("listen", "is empty", "name an address to receive at")


@rule("listen", "admin.listen")
def listeners_differ(config: GatewayConfig) -> Iterator[Problem]:
    named = [(f"listen[{i}]", endpoint) for i, endpoint in enumerate(config.listen)]
    named.append(("admin.listen", config.admin.listen))
    for (first, a), (second, b) in combinations(named, 2):
        if a == b and a.port:
            yield Problem(second, f"is {b}, which {first} has already")


@rule("listen", "backends[].address")
def no_loop(config: GatewayConfig) -> Iterator[Problem]:
    for i, backend in enumerate(config.backends):
        if backend.address in config.listen:
            yield Problem(f"backends[{i}].address", "is where this gateway listens: it would send to itself")


@rule("backends[].address")
def addresses_differ(config: GatewayConfig) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for i, backend in enumerate(config.backends):
        if (j := first.setdefault(str(backend.address).lower(), i)) != i:
            yield Problem(f"backends[{i}].address", f"is that of backends[{j}]", "a larger weight is a larger share")


@rule("backends[].name")
def names_differ(config: GatewayConfig) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for i, backend in enumerate(config.backends):
        named = backend.name != str(backend.address)
        if (j := first.setdefault(backend.name, i)) != i and named:
            yield Problem(f"backends[{i}].name", f"is that of backends[{j}]")


@rule("backends")
def few_enough(config: GatewayConfig) -> Iterator[Problem]:
    if len(config.backends) > BACKENDS_MAX:
        yield Problem("backends", f"are {len(config.backends)}: there can be {BACKENDS_MAX}")


@rule("backends[].weight")
def some_weight(config: GatewayConfig) -> Iterator[Problem]:
    if config.backends and not any(backend.weight for backend in config.backends):
        yield Problem("backends", "all have weight 0: nothing could be sent")


@rule("routing.strategy", "routing.ownership")
def ownership_is_possible(config: GatewayConfig) -> Iterator[Problem]:
    routing = config.routing
    if routing.ownership not in routing.strategy.ownerships:
        possible = " or ".join(routing.strategy.ownerships)
        yield Problem("routing.ownership", f"cannot be {routing.ownership} under {routing.strategy}: it has {possible}")


@rule("routing.strategy", "routing.load_weight", "routing.latency_weight", "routing.capacity_weight")
def something_to_weigh(config: GatewayConfig) -> Iterator[Problem]:
    routing = config.routing
    if routing.strategy is RoutingStrategy.INTELLIGENT and not (
        routing.load_weight + routing.latency_weight + routing.capacity_weight
    ):
        yield Problem("routing.load_weight", "is 0, and so are latency_weight and capacity_weight: one must count")


@rule("delivery.backoff")
def backoff_grows(config: GatewayConfig) -> Iterator[Problem]:
    backoff = config.delivery.backoff
    if backoff.initial_s > backoff.max_s:
        yield Problem("delivery.backoff.initial", "is longer than delivery.backoff.max")


@rule("batch.max_wait", "delivery.max_wait")
def batches_leave_in_time(config: GatewayConfig) -> Iterator[Problem]:
    if config.batch.max_wait_s >= config.delivery.max_wait_s:
        yield Problem("batch.max_wait", "is not shorter than delivery.max_wait: what waits so long is late already")


@rule("batch.pacing", "batch.max_wait")
def pacing_is_shorter(config: GatewayConfig) -> Iterator[Problem]:
    if config.batch.pacing_s > config.batch.max_wait_s:
        yield Problem("batch.pacing", "is longer than batch.max_wait")


@rule("batch.max_bytes", "limits.backend_queue_bytes")
def queues_hold_a_batch(config: GatewayConfig) -> Iterator[Problem]:
    if config.batch.max_bytes > config.limits.backend_queue_bytes:
        yield Problem("limits.backend_queue_bytes", "is smaller than batch.max_bytes: no batch would ever be full")


@rule("limits.message_bytes", "limits.memory_bytes")
def memory_holds_a_message(config: GatewayConfig) -> Iterator[Problem]:
    if config.limits.message_bytes > config.limits.memory_bytes:
        yield Problem("limits.message_bytes", "is larger than limits.memory_bytes: no such request could be held")


@rule("shutdown")
def drain_outlasts_unready(config: GatewayConfig) -> Iterator[Problem]:
    if config.shutdown.unready_for_s > config.shutdown.drain_timeout_s:
        yield Problem("shutdown.unready_for", "is longer than shutdown.drain_timeout, of which it is a part")


@rule("coordination.store", "coordination.endpoints")
def etcd_is_somewhere(config: GatewayConfig) -> Iterator[Problem]:
    if config.coordination.store is StoreKind.ETCD and not config.coordination.endpoints:
        yield Problem("coordination.endpoints", "is empty", "name the members of etcd")


@rule("coordination.endpoints")
def endpoints_differ(config: GatewayConfig) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for i, endpoint in enumerate(config.coordination.endpoints):
        if (j := first.setdefault(str(endpoint).lower(), i)) != i:
            yield Problem(f"coordination.endpoints[{i}]", f"is that of coordination.endpoints[{j}]")


@rule("coordination.username", "coordination.password")
def credentials_are_a_pair(config: GatewayConfig) -> Iterator[Problem]:
    coordination = config.coordination
    if coordination.username and coordination.password is None:
        yield Problem(
            "coordination.username",
            "has no coordination.password",
            "SPANGATE_COORDINATION_PASSWORD keeps it out of files",
        )
    if coordination.password is not None and not coordination.username:
        yield Problem("coordination.password", "has no coordination.username")


@rule("coordination.ca_file", "coordination.cert_file", "coordination.key_file")
def tls_is_whole(config: GatewayConfig) -> Iterator[Problem]:
    coordination = config.coordination
    if coordination.cert_file and not coordination.key_file:
        yield Problem("coordination.cert_file", "has no coordination.key_file")
    if coordination.key_file and not coordination.cert_file:
        yield Problem("coordination.key_file", "has no coordination.cert_file")
    if coordination.cert_file and not coordination.ca_file:
        yield Problem(
            "coordination.cert_file",
            "is shown over TLS only, and coordination.ca_file is empty",
            "`system` trusts what the system trusts",
        )


@rule("admin.grpc")
def the_way_in_is_guarded(config: GatewayConfig) -> Iterator[Problem]:
    grpc = config.admin.grpc
    if grpc.listen is None:
        return
    for key, given in (("cert_file", grpc.cert_file), ("key_file", grpc.key_file), ("token", grpc.token)):
        if not given or (isinstance(given, Secret) and not given.reveal()):
            yield Problem(f"admin.grpc.{key}", "is needed with admin.grpc.listen", "TCP is served with TLS and a token")


@rule("coordination.lease_ttl", "coordination.announce_every")
def announcements_outrun_the_lease(config: GatewayConfig) -> Iterator[Problem]:
    if config.coordination.announce_every_s >= config.coordination.lease_ttl_s:
        yield Problem("coordination.announce_every", "is not shorter than coordination.lease_ttl")


@rule("coordination.lease_ttl", "coordination.timeout")
def the_lease_outlasts_a_call(config: GatewayConfig) -> Iterator[Problem]:
    if config.coordination.lease_ttl_s <= config.coordination.timeout_s:
        yield Problem(
            "coordination.lease_ttl",
            "is not longer than coordination.timeout: one slow call to the store would lose it",
        )


@rule("listen", "advertise", "collector.endpoint")
def the_collector_is_another(config: GatewayConfig) -> Iterator[Problem]:
    if config.collector.endpoint is not None and config.collector.endpoint in (*config.listen, config.advertise):
        yield Problem("collector.endpoint", "is where this gateway listens: the fleet would send to it in circles")


@rule("collector.endpoint", "collector.id", "collector.health_url", "collector.checks", "collector.metrics_url")
def the_collector_is_somewhere(config: GatewayConfig) -> Iterator[Problem]:
    collector = config.collector
    for key in ("id", "health_url", "checks", "metrics_url"):
        if collector.endpoint is None and getattr(collector, key):
            yield Problem(f"collector.{key}", "is that of no collector: collector.endpoint is empty")


@rule("collector.health_url", "collector.checks", "collector.metrics_url")
def figures_are_read(config: GatewayConfig) -> Iterator[Problem]:
    collector = config.collector
    named = [("health_url", collector.health_url), *((f"checks[{i}]", text) for i, text in enumerate(collector.checks))]
    for key, text in named:
        if text.partition(":")[0] in FIGURES and not collector.metrics_url:
            yield Problem(
                f"collector.{key}",
                f"holds a figure of the collector against a bound, and collector.metrics_url is empty: {text}",
                "its own metrics have the figure, for example http://127.0.0.1:8888/metrics",
            )


@rule("routing", "backends[].address")
def spreading_splits_traces(config: GatewayConfig) -> Iterator[Problem]:
    if not config.routing.owning and len(config.backends) > 1:
        yield Problem(
            "routing.strategy",
            f"{config.routing.strategy} without ownership sends the spans of one trace to several backends",
            "tail sampling behind it needs consistent_hash or intelligent",
        )


@rule("routing.strategy", "backends[].weight")
def weights_count(config: GatewayConfig) -> Iterator[Problem]:
    blind = config.routing.strategy in (RoutingStrategy.ROUND_ROBIN, RoutingStrategy.LEAST_CONNECTIONS)
    if blind and len({backend.weight for backend in config.backends}) > 1:
        yield Problem("backends", f"have weights, which {config.routing.strategy} does not look at")


@rule("delivery.ack")
def queued_may_lose(config: GatewayConfig) -> Iterator[Problem]:
    if config.delivery.ack is Ack.QUEUED:
        yield Problem("delivery.ack", "queued tells clients OK for data that only memory has: a crash loses it")


@rule("admin.listen")
def admin_is_private(config: GatewayConfig) -> Iterator[Problem]:
    if not config.admin.listen.host.startswith(_PRIVATE):
        yield Problem("admin.listen", "can be reached from outside this host, and asks nobody who they are")


@rule("routing.members", "coordination.store", "collector.endpoint")
def somebody_registers(config: GatewayConfig) -> Iterator[Problem]:
    alone = config.coordination.store is StoreKind.MEMORY and config.collector.endpoint is None
    if config.routing.members is MemberSource.REGISTRY and alone:
        yield Problem(
            "routing.members",
            "is registry, and in a store of its own nobody registers: nothing is forwarded until somebody does",
            "name collector.endpoint or backends, set coordination.store to etcd, or use `spangate register`",
        )


@rule("routing.members", "backends[].address")
def backends_count(config: GatewayConfig) -> Iterator[Problem]:
    if config.routing.members is MemberSource.REGISTRY and config.backends:
        yield Problem("backends", "are not used: routing.members is registry")


@rule("coordination.store", "coordination.endpoints")
def endpoints_count(config: GatewayConfig) -> Iterator[Problem]:
    coordination = config.coordination
    if coordination.store is StoreKind.MEMORY and coordination.endpoints != default.COORDINATION_ENDPOINTS:
        yield Problem("coordination.endpoints", "are not used: coordination.store is memory", "for etcd: --store etcd")


@rule("coordination.password", "coordination.ca_file")
def passwords_travel_covered(config: GatewayConfig) -> Iterator[Problem]:
    if config.coordination.password is not None and not config.coordination.ca_file:
        yield Problem("coordination.password", "is sent in the clear: there is no coordination.ca_file, hence no TLS")


@rule("batch.max_bytes", "backends[].max_message_bytes")
def batches_fit_messages(config: GatewayConfig) -> Iterator[Problem]:
    for i, backend in enumerate(config.backends):
        if backend.max_message_bytes < config.batch.max_bytes:
            yield Problem(f"backends[{i}].max_message_bytes", "is smaller than batch.max_bytes: it bounds the calls")


RULES: tuple[Rule[GatewayConfig], ...] = (
    somewhere_to_listen,
    listeners_differ,
    no_loop,
    addresses_differ,
    names_differ,
    few_enough,
    some_weight,
    ownership_is_possible,
    something_to_weigh,
    backoff_grows,
    batches_leave_in_time,
    pacing_is_shorter,
    queues_hold_a_batch,
    memory_holds_a_message,
    drain_outlasts_unready,
    etcd_is_somewhere,
    endpoints_differ,
    credentials_are_a_pair,
    tls_is_whole,
    the_way_in_is_guarded,
    announcements_outrun_the_lease,
    the_lease_outlasts_a_call,
    the_collector_is_another,
    the_collector_is_somewhere,
    figures_are_read,
)
ADVICE: tuple[Rule[GatewayConfig], ...] = (
    spreading_splits_traces,
    weights_count,
    queued_may_lose,
    admin_is_private,
    somebody_registers,
    backends_count,
    endpoints_count,
    passwords_travel_covered,
    batches_fit_messages,
)
