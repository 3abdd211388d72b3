"""What split should have written, by the slow way, from the tables before it and the bytes around it.

The properties are those of the differential fuzz: nothing lost, doubled or moved to another owner (P2, P3), unknown
fields at every level (P4), no empty envelopes (P5), counts that agree (P6).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sidecar._native.batch import PartRow
from sidecar._native.scan import ItemRow
from tests.kernels import oracle
from tests.kernels.check import edited
from tests.kernels.oracle import Found
from tests.kernels.otlp import ITEM_BAD_ID, OWNER_REJECTED, REQUESTS
from tests.kernels.wire import MalformedError, field
from tests.split.stages import Limits, Written

OWNER_LAST = 0xFFF0
HEADERS_BYTES = 2 * 6  # of a resource and a scope, as split reckons


@dataclass(frozen=True)
class Sent:
    """An item, with all that stands around it."""

    doc: int
    request: bytes
    """The fields of the request that are no resources."""
    resource: bytes
    scope: bytes
    item: bytes
    units: int
    service: int

    def alone(self) -> int:
        """The bytes of a message with this item only, at most."""
        return len(self.request) + len(self.resource) + len(self.scope) + len(self.item) + HEADERS_BYTES


def joined(body: bytes, frags: Sequence[tuple[int, int]]) -> bytes:
    return b"".join(body[off:end] for off, end in frags)


class Judge:
    """Holds the documents of a tick against what was written of them."""

    def __init__(self, signal: int, bodies: Sequence[bytes], written: Written, limits: Limits) -> None:
        self.signal = signal
        self.written = written
        self.limits = limits
        self.docs = written.tick.docs()
        self.bodies = [bodies[doc.request] for doc in self.docs]
        self.found = [oracle.scan(signal, body) for body in self.bodies]
        self.rows = written.tick.items()
        self.expected: dict[int, list[Sent]] = {owner: [] for owner in range(len(written.batches))}
        self.too_large: list[Sent] = []
        self.turned_away = [number for number, said in enumerate(written.tick.outcomes()) if said.retryable]
        """Documents that found no room."""
        for number in range(len(self.docs)):
            if number not in self.turned_away:
                self._expect(number)

    def _expect(self, number: int) -> None:
        doc, body, found = self.docs[number], self.bodies[number], self.found[number]
        resources = self.written.tick.resources()[doc.resource0 : doc.resource0 + doc.resources]
        for row, part in zip(resources, found.resources, strict=True):
            at = row.item0
            for scope in part.scopes:
                for item in scope.items:
                    decided = self.rows[at]
                    at += 1
                    sent = Sent(
                        number, joined(body, found.frags), joined(body, part.frags), joined(body, scope.frags),
                        self._bytes_of(body, decided), item.units, row.service,
                    )  # fmt: skip
                    if decided.owner < OWNER_LAST:
                        self.expected[decided.owner].append(sent)
                    elif decided.owner == OWNER_REJECTED and not decided.flags & ITEM_BAD_ID:
                        self.too_large.append(sent)

    def _bytes_of(self, body: bytes, row: ItemRow) -> bytes:
        if row.edit == 0:
            return body[row.off : row.end]
        return field(2, edited(self.written.tick, body, row))

    # ---- verdicts

    def check(self) -> None:
        """AssertionError where something is not as it should be."""
        for owner, wanted in self.expected.items():
            rest = wanted
            for part in self.written.parts(owner):
                rest = self._check_part(part, rest)
            assert rest == [], f"{len(rest)} items of owner {owner} are lost"
            for batch in self.written.batches[owner]:
                self._check_batch(batch)
        for sent in self.too_large:
            assert sent.alone() > self.limits.message, "an item that fits was refused"

    def _check_part(self, part: PartRow, rest: list[Sent]) -> list[Sent]:
        """Takes what the part has from the items that are still to come."""
        assert rest, "a part of nothing"
        body, found = self.bodies[rest[0].doc], self._scanned(part.body)
        got = [
            (joined(part.body, resource.frags), joined(part.body, scope.frags), part.body[item.off : item.end])
            for resource in found.resources
            for scope in resource.scopes
            for item in scope.items
        ]
        mine = rest[: len(got)]
        assert got == [(sent.resource, sent.scope, sent.item) for sent in mine]
        assert {sent.doc for sent in mine} == {rest[0].doc}, "a part of two requests"
        assert joined(part.body, found.frags) == rest[0].request
        self._check_counts(part, mine)
        assert not any(resource.dropped for resource in found.resources), "scopes of field 1000"
        if part.body != body:
            self._check_envelopes(part, found, body, self.found[rest[0].doc])
        return rest[len(got) :]

    def _scanned(self, body: bytes) -> Found:
        try:
            return oracle.scan(self.signal, body)
        except MalformedError as error:
            raise AssertionError("a part that is no message") from error

    def _check_counts(self, part: PartRow, mine: Sequence[Sent]) -> None:
        assert part.items == sum(sent.units for sent in mine)
        services: Counter[int] = Counter()
        for sent in mine:
            services[sent.service] += sent.units
        told: Counter[int] = Counter()
        for service, items in part.services:
            told[service] += items
        assert +told == +services

    def _check_envelopes(self, part: PartRow, found: Found, body: bytes, before: Found) -> None:
        """Nothing empty in what was written anew; what was copied as it came is the client's."""
        copies = {body[resource.off : resource.end] for resource in before.resources}
        for resource in found.resources:
            if part.body[resource.off : resource.end] not in copies:
                assert resource.scopes, "a resource without scopes"
                assert all(scope.items for scope in resource.scopes), "a scope without items"

    def _check_batch(self, batch: Sequence[PartRow]) -> None:
        size = sum(len(part.body) for part in batch)
        assert size <= self.limits.message, "a batch over the limit of its backend"
        assert len(batch) == 1 or size <= self.limits.batch_bytes
        items = sum(part.items for part in batch[:-1])
        assert items < self.limits.batch_items

    def units(self) -> int:
        """What is written, in the signal's unit."""
        return sum(sent.units for wanted in self.expected.values() for sent in wanted)


def readable(signal: int, body: bytes) -> bool:
    """Whether protobuf takes it."""
    message = REQUESTS[signal]()
    try:
        message.ParseFromString(body)
    except Exception:  # noqa: BLE001  DecodeError is not the only one that it raises
        return False
    return True
