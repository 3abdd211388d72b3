"""A worker's stages without its sockets: requests in, and what is then written for each backend out."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

from sidecar._native.backends import Backends
from sidecar._native.batch import PartRow, unsent
from sidecar._native.core import WorkerCore
from sidecar._native.ledger import LedgerRow, PageReader, page_bytes
from sidecar._native.outbox import Outbox
from sidecar._native.rendezvous import SLOTS
from sidecar._native.route import OWNING, SEQUENCE, Routing, Table, assign
from sidecar._native.sample import Sampling, sample
from sidecar._native.scan import ReplyRow, Tick, scan
from sidecar._native.split import split

HEADERS = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"")]
MIB = 1 << 20
EVERY_SIGNAL = frozenset(range(3))


@dataclass(frozen=True)
class Limits:
    """Bounds of backends and batches."""

    message: int = 4 * MIB
    queue: int = 64 * MIB
    batch_bytes: int = 4 * MIB
    batch_items: int = 100_000


def random_slots(rng: random.Random, owners: int) -> Routing:
    """Slots that belong to anybody, so that even neighbouring traces part."""
    primary = array("H", rng.choices(range(owners), k=SLOTS))
    after = memoryview(array("H", [0] * 2 * SLOTS)).cast("B").cast("H", (SLOTS, 2))
    return Routing([Table(OWNING, owners, primary=primary, after=after)])


def in_turn(owners: int) -> Routing:
    """Each request whole to one owner."""
    return Routing([Table(SEQUENCE, owners, sequence=array("H", range(owners)))])


@dataclass
class Written:
    """What has become of the requests of a tick."""

    tick: Tick
    batches: list[list[list[PartRow]]] = field(default_factory=list)
    """By owner."""

    def parts(self, owner: int) -> list[PartRow]:
        return [part for batch in self.batches[owner] for part in batch]


class Stages:
    """The state of one worker; backends are up, and nothing is ever sent."""

    def __init__(self, owners: int, limits: Limits = Limits(), *, queued: bool = False) -> None:
        page = bytearray(page_bytes())
        self.owners = owners
        self.core = WorkerCore(page, array("Q", [0, 1 << 40]))
        self.page = PageReader(page)
        self.core.configure(
            message_limit_bytes=64 * MIB,
            batch_limit_bytes=limits.batch_bytes,
            batch_limit_items=limits.batch_items,
            max_wait_s=3,
            margin_s=0,
            queue_age_s=300,
            soft_ratio=0.8,
            queued_ack=queued,
            may_duplicate=False,
            batch_wait_s=0.1,
            pacing_s=0,
            max_streams=100,
            max_connections=100,
            max_age_s=3600,
            max_age_grace_s=60,
            keepalive_s=3600,
            keepalive_timeout_s=20,
            stall_s=2,
            retry_after_s=1,
        )
        self.backends = Backends(self.core)
        self.outbox = Outbox(self.core)
        for slot in range(owners):
            self.backends.add(
                slot, slot + 1, HEADERS, gzip=False, max_in_flight=1,
                queue_limit_bytes=limits.queue, message_limit_bytes=limits.message,
            )  # fmt: skip
        self.backends.own(list(range(owners)))
        for slot in range(owners):
            self.backends.set_up(slot, True)

    def run(self, signal: int, bodies: Iterable[bytes], routing: Routing, rate: float = 1.0) -> Written:
        """The requests, through all stages in one tick."""
        return self.finish(signal, Tick.of(signal, bodies, self.core), routing, Sampling(rate, EVERY_SIGNAL))

    def finish(self, signal: int, tick: Tick, routing: Routing, sampling: Sampling) -> Written:
        """What is on the tick's ready list, through all stages."""
        scan(tick, 1 << 40)
        sample(tick, sampling)
        assign(tick, routing)
        split(tick)
        return Written(tick, [unsent(self.core, owner, signal) for owner in range(self.owners)])

    def abandon(self, written: Written) -> list[ReplyRow]:
        """Drops what was written; what the clients are told, and nothing may be left."""
        self.outbox.abandon()
        return written.tick.replies()

    def live(self) -> int:
        """Buffers that are handed out."""
        return self.core.memory()[0]

    def books(self) -> list[LedgerRow]:
        """The rows of the ledger; each adds up."""
        rows = self.page.rows()
        for row in rows:
            ended = row.forwarded + row.sampled_out + row.rejected + sum(row.dropped)
            assert row.received == row.in_flight + ended, row
        return rows

    def in_flight(self) -> int:
        """Items that have not ended yet."""
        return sum(row.in_flight for row in self.books())
