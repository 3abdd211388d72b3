"""What is counted outside the gateway: by the SDK that made the spans, and by the backends that got them."""

from __future__ import annotations

import msgspec

from sidecar.snapshot import LedgerRow


class Sent(msgspec.Struct, frozen=True):
    """The SDK's side."""

    made: int = 0
    """Spans that have ended."""
    acknowledged: int = 0
    """Spans of exports that were answered OK."""
    failed: int = 0
    """Spans of exports that the SDK gave up."""


class Came(msgspec.Struct, frozen=True):
    """The backends' side, after decoding."""

    addresses: tuple[str, ...] = ()
    spans: tuple[int, ...] = ()
    """By backend, every copy counted."""
    distinct: int = 0
    """Different span ids, over all backends."""
    traces: int = 0
    """Different trace ids, over all backends."""
    split: int = 0
    """Of them, those that came to more than one."""

    @property
    def twice(self) -> int:
        """Spans that had come before."""
        return sum(self.spans) - self.distinct


class Order(msgspec.Struct, frozen=True):
    """What the traffic is told when it may begin."""

    endpoint: str
    rate: int


def difference(ledger: LedgerRow, came: Came) -> int:
    """Spans that backends have and the ledger does not count as forwarded, or (below 0) the other way round.

    While traffic flows these are the ones whose answers are under way.
    """
    return came.distinct - ledger.forwarded


def faults(ledger: LedgerRow, sent: Sent, came: Came) -> list[str]:
    """What cannot be true of books that are closed: sentences, none when all is well.

    A copy that was sent again, its first answer being lost, may count twice in the ledger and at a backend. A client
    that was refused may find that its spans got there after all.
    """
    found = []
    if ledger.difference:
        found.append(f"the ledger cannot account for {ledger.difference:,} spans")
    if ledger.forwarded > sum(came.spans):
        found.append(f"{ledger.forwarded - sum(came.spans):,} spans count as forwarded, and no backend has them")
    if came.distinct > ledger.forwarded + ledger.rejected + ledger.dropped_total:
        found.append(f"backends have {difference(ledger, came):,} spans more than the ledger knows of")
    if sent.acknowledged > ledger.forwarded + ledger.sampled_out:
        found.append(f"{sent.acknowledged - ledger.forwarded - ledger.sampled_out:,} spans were acknowledged and lost")
    return found
