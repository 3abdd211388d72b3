"""scan: takes requests that have arrived off the ready list and fills the tables of a tick with them."""

from collections.abc import Iterable
from typing import NamedTuple, final

from typing_extensions import Buffer

from sidecar._native.core import WorkerCore

class ItemRow(NamedTuple):
    """A span, log record, metric or profile; offsets count from the start of its message."""

    hash: int
    rand: int
    off: int
    content: int
    end: int
    state_off: int
    state_end: int
    edit: int
    units: int
    owner: int
    flags: int

class ResourceRow(NamedTuple):
    """A ResourceSpans, ResourceLogs, ResourceMetrics or ResourceProfiles."""

    off: int
    content: int
    end: int
    scope0: int
    scopes: int
    frag0: int
    frags: int
    frag_bytes: int
    item0: int
    items: int
    service: int
    dropped: int
    hash: int
    units: int
    flags: int

class ScopeRow(NamedTuple):
    off: int
    end: int
    item0: int
    items: int
    frag0: int
    frags: int
    frag_bytes: int

class FragRow(NamedTuple):
    """Bytes that are neither items nor messages around them."""

    off: int
    end: int

class EditRow(NamedTuple):
    """An item's content without [cut_off, cut_end), then add_size bytes of the arena."""

    cut_off: int
    cut_end: int
    add_off: int
    add_size: int

class DocRow(NamedTuple):
    """One request that is well formed."""

    request: int
    size: int
    resource0: int
    resources: int
    item0: int
    items: int
    frag0: int
    frags: int
    kept: int
    edited: int
    dropped: int
    whole: int

class ReplyRow(NamedTuple):
    """What has become of a request so far."""

    request: int
    status: int
    retryable: bool
    ok_items: int
    refused_items: int
    note: str

class LedgerRow(NamedTuple):
    received: int
    in_flight: int
    forwarded: int
    sampled_out: int
    rejected: int

@final
class Tick:
    """The requests of one pass through the pipeline, and the tables that its stages fill."""

    def __init__(self, core: WorkerCore) -> None: ...
    @staticmethod
    def of(signal: int, bodies: Iterable[Buffer], core: WorkerCore | None = None) -> Tick:
        """A tick whose ready list holds requests with these messages, numbered from 0, for tests and benchmarks.

        It has to live for as long as anything works on its requests.
        """

    def push(self, signal: int, framed: Buffer, gzip: bool = False) -> None:
        """Another request for the ready list, whose body is given as it came: with the gRPC prefix, or without one."""

    def add(self, signal: int, body: Buffer) -> bool:
        """Scans a message where it lies, as another document of this tick; whether it is well formed."""

    def again(self) -> None:
        """Puts the documents' requests back on the ready list, as if they had just arrived."""

    def clear(self) -> None:
        """Empties the tables."""

    def mark_judged(self, request: int) -> None:
        """Makes a request one that was sampled and booked before: a part on its way to another owner."""

    def leave(self, request: int) -> None:
        """The client of a request has gone."""

    def docs(self) -> list[DocRow]: ...
    def resources(self) -> list[ResourceRow]: ...
    def scopes(self) -> list[ScopeRow]: ...
    def items(self) -> list[ItemRow]: ...
    def frags(self) -> list[FragRow]: ...
    def edits(self) -> list[EditRow]: ...
    def arena(self) -> bytes:
        """The bytes that edits add."""

    def replies(self) -> list[ReplyRow]:
        """Takes the requests that have ended so far, in the order in which they were made."""

    def outcomes(self) -> list[ReplyRow]:
        """What has become of the documents' requests."""

    def service(self, number: int) -> bytes:
        """The name that the ledger has for a number."""

    def row(self, signal: int, service: bytes) -> LedgerRow:
        """A row of the ledger."""

    def figures(self) -> tuple[int, int, int]:
        """trace_id_missing, old_field and tracestate_bad of the page."""

def scan(tick: Tick, limit_bytes: int) -> int:
    """Scans what has arrived, up to limit_bytes of bodies and one more; the number of documents in the tables."""
