"""What no single value can be blamed for. A rule that is broken refuses the configuration; advice is only given.

A rule names the settings it reads, and is silent while one of them has a problem of its own. Rules that need to know
routing or sampling are written there, and handed to `load` beside these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import NamedTuple

from sidecar.config.schema import GatewayConfig
from sidecar.errors import Problem
from sidecar.model import Ack, RoutingStrategy

Check = Callable[[GatewayConfig], Iterator[Problem]]

_INDEX = re.compile(r"\[\d+\]")
BACKENDS_MAX = 1024
"""What the tables of the data plane have room for (MEMBERS_MAX of the native `rendezvous`)."""
_PRIVATE = ("127.", "localhost", "::1")


class Rule(NamedTuple):
    """A check, and the settings it reads: `backends[].weight` stands for those of all backends."""

    reads: tuple[str, ...]
    check: Check

    def broken(self, config: GatewayConfig, known: Iterable[Problem]) -> Iterator[Problem]:
        """Problems that the check finds, unless one that is known lies under what it reads."""
        bad = {_INDEX.sub("[]", problem.path) for problem in known}
        if not any(path == read or path.startswith((f"{read}.", f"{read}[")) for path in bad for read in self.reads):
            yield from self.check(config)


def rule(*reads: str) -> Callable[[Check], Rule]:
    """Make a rule of a check that reads these settings."""
    return lambda check: Rule(reads, check)


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


@rule("batch.max_bytes", "backends[].max_message_bytes")
def batches_fit_messages(config: GatewayConfig) -> Iterator[Problem]:
    for i, backend in enumerate(config.backends):
        if backend.max_message_bytes < config.batch.max_bytes:
            yield Problem(f"backends[{i}].max_message_bytes", "is smaller than batch.max_bytes: it bounds the calls")


RULES: tuple[Rule, ...] = (
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
)
ADVICE: tuple[Rule, ...] = (
    spreading_splits_traces,
    weights_count,
    queued_may_lose,
    admin_is_private,
    batches_fit_messages,
)
