"""Where parts meet that may not import each other: who provides implements the protocol, who uses it imports this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from sidecar.model import Endpoint
from sidecar.snapshot import Explanation, Figures, GatewayStatus, LedgerSnapshot, Question, SettingValue


class Member(msgspec.Struct, frozen=True):
    """A backend that can own traces."""

    name: str
    address: Endpoint
    weight: float = 1.0


class Membership(Protocol):
    """Who the members are: from the configuration, DNS, or the registry."""

    def members(self) -> Sequence[Member]:
        """The members now, in an order that does not matter."""

    def watch(self, changed: Callable[[Sequence[Member]], None]) -> Callable[[], None]:
        """Call `changed` with all members after every change. The answer ends it."""


class Snapshot(Protocol):
    """What metrics are rendered from. Each call is cheap and blocks on nothing: it copies counters."""

    def ledger(self) -> LedgerSnapshot:
        """The ledger at this instant."""

    def status(self) -> GatewayStatus:
        """Workers, backends, rates at this instant."""

    def figures(self) -> Figures:
        """Counters of requests at this instant."""


class Gateway(Snapshot, Protocol):
    """The running gateway, as the admin sees it."""

    def ready(self) -> tuple[bool, str]:
        """Whether clients should be sent here, and if not, why."""

    def explain(self, question: Question) -> Explanation:
        """Where such an item would go, kept or not, and why."""

    def config(self) -> tuple[SettingValue, ...]:
        """The configuration in force."""
