"""What is held against each other at the end of a fault: the gateway's ledger, its clients, and its backends."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol

from tests.harness.gateway import Gateway
from tests.harness.patience import until


class Backend(Protocol):
    """A sink or a witness."""

    def span_ids(self) -> Counter[bytes]:
        """The ids of all spans that it has taken, and how often each has come."""


def seen(backends: Iterable[Backend]) -> Counter[bytes]:
    """How often each span is at the backends, all together."""
    return sum((backend.span_ids() for backend in backends), Counter[bytes]())


def duplicates(found: Mapping[bytes, int]) -> int:
    """How many spans are there beyond the first of each."""
    return sum(found.values()) - len(found)


def settle(gateway: Gateway) -> None:
    """Until nothing is in flight."""
    until(lambda: gateway.ledger().in_flight == 0, "everything in flight ends")


def trace_ids(gateway: Gateway, owner: int, n: int) -> list[bytes]:
    """n trace ids that belong to the backend on port `owner`, as `explain` has it."""
    found: list[bytes] = []
    while len(found) < n:
        found += [trace_id for trace_id in fresh(16) if owner_of(gateway, trace_id) == f"127.0.0.1:{owner}"]
    return found[:n]


def fresh(n: int) -> list[bytes]:
    """n trace ids that nothing else has."""
    return [os.urandom(16) for _ in range(n)]


def owner_of(gateway: Gateway, trace_id: bytes) -> str | None:
    """The backend that a trace goes to now."""
    told = json.loads(gateway.page(f"/explain?trace_id={trace_id.hex()}")[1])
    owner: str | None = told["owner"]
    return owner
