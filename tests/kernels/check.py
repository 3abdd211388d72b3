"""One request through scan and sample, compared with the oracles in everything that they say."""

from collections import Counter

from google.protobuf.message import Message

from sidecar._native.core import WorkerCore
from sidecar._native.ledger import PageReader
from sidecar._native.sample import Sampling, sample
from sidecar._native.scan import DocRow, ItemRow, Tick
from tests.kernels import oracle
from tests.kernels.deep import excuse
from tests.kernels.guard import Guard
from tests.kernels.judge import Asked, Policy, Verdict, halvings, judge
from tests.kernels.oracle import Found, Item, Part
from tests.kernels.otlp import (
    ITEM_BAD_ID,
    ITEM_ERROR,
    ITEM_RANDOM,
    ITEM_STATE,
    LOGS,
    METRICS,
    OLD_SCOPES,
    OWNER_NONE,
    OWNER_REJECTED,
    OWNER_SAMPLED_OUT,
    PROFILES,
    REQUESTS,
    TRACES,
    parsed,
)
from tests.kernels.wire import LEN, MalformedError, field, fields

PAGE_BYTES = 4 << 20
PAGE = bytes(PAGE_BYTES)
PER_CORE = 200  # the ledger has room for 1,000 names, and fuzz makes some up


class Bench:
    """A worker's tables, and memory to scan in; tables and memos live on from case to case, as they do in a worker."""

    def __init__(self) -> None:
        self.guard = Guard(1 << 20)
        self.cases = 0
        self.begin()

    def begin(self) -> None:
        page = bytearray(PAGE)
        self.tick, self.page = Tick(WorkerCore(page, bytearray(16))), PageReader(page)

    def check(self, signal: int, body: bytes, policy: Policy) -> bool:
        """Whether the request was taken; AssertionError where the kernel and the oracles differ."""
        self.cases += 1
        if self.cases % PER_CORE == 0:
            self.begin()
        self.tick.clear()
        before = self.tick.figures()
        taken = self.tick.add(signal, self.guard.place(body))
        upb = parsed(signal, body)
        try:
            found = oracle.scan(signal, body)
        except MalformedError:
            assert not taken, "a malformed request was taken"
            assert upb is None or only_old_is_malformed(signal, body), "protobuf takes what we refuse"
            assert self.tick.docs() == [], "a refused request has left a trace"
            assert self.tick.figures() == before
            return False
        assert taken, "a well-formed request was refused"
        why = excuse(signal, body)
        assert why == "depth" or (upb is None) == (why is not None), (
            f"protobuf and the walk to the bottom differ: {why}"
        )
        same_structure(self.tick, signal, body, found)
        if upb is not None:
            same_contents(signal, body, found)
        sums = counted(self.page, signal)
        expected = same_decisions(self.tick, signal, body, found, policy)
        now = counted(self.page, signal)
        assert now - sums == expected, (now - sums, expected)
        return True


def only_old_is_malformed(signal: int, body: bytes) -> bool:
    """Whether it is the scopes of field 1000, which protobuf does not know: without them the request is well formed."""
    out = b""
    for f in fields(body):
        content = list(fields(body, f.value, f.end)) if (f.number, f.type) == (1, LEN) else None
        if content is None:
            out += body[f.off : f.end]
        else:
            out += field(1, b"".join(body[i.off : i.end] for i in content if (i.number, i.type) != (OLD_SCOPES, LEN)))
    if out == body:
        return False
    oracle.scan(signal, out)
    return True


def same_structure(tick: Tick, signal: int, body: bytes, found: Found) -> None:
    (doc,) = tick.docs()
    frags, resources, scopes, items = tick.frags(), tick.resources(), tick.scopes(), tick.items()
    assert doc == DocRow(
        doc.request, len(body), 0, len(resources), 0, len(items), 0, len(found.frags), 0, 0,
        sum(part.dropped for part in found.resources), signal == PROFILES,
    )  # fmt: skip
    assert frags[: doc.frags] == found.frags
    assert len(resources) == len(found.resources)
    assert tick.figures()[1] >= found.old_fields
    for row, part in zip(resources, found.resources, strict=True):
        assert (row.off, row.content, row.end) == (part.off, part.content, part.end)
        assert frags[row.frag0 : row.frag0 + row.frags] == part.frags
        assert row.frag_bytes == sum(end - off for off, end in part.frags)
        assert row.dropped == part.dropped
        assert tick.service(row.service) == part.service.split(b"\0")[0][:255]
        assert row.units == sum(item.units for item in part.items)
        inside = scopes[row.scope0 : row.scope0 + row.scopes]
        assert len(inside) == len(part.scopes)
        for scope, wanted in zip(inside, part.scopes, strict=True):
            assert (scope.off, scope.end) == (wanted.content, wanted.end)
            assert frags[scope.frag0 : scope.frag0 + scope.frags] == wanted.frags
            assert scope.frag_bytes == sum(end - off for off, end in wanted.frags)
            mine = items[scope.item0 : scope.item0 + scope.items]
            assert [(i.off, i.content, i.end) for i in mine] == [(i.off, i.content, i.end) for i in wanted.items]
        assert row.item0 == (inside[0].item0 if inside else row.item0)
        assert row.items == sum(scope.items for scope in inside)
        same_items(signal, row.hash if signal != PROFILES else resources[0].hash, part, items[row.item0 :][: row.items])


def same_items(signal: int, resource_hash: int, part: Part, rows: list[ItemRow]) -> None:
    keys: dict[bytes, int] = {}
    for row, item in zip(rows, part.items, strict=True):
        assert (row.flags, row.rand, row.units) == (item.flags, item.rand, item.units)
        assert (row.state_off, row.state_end) == item.state
        assert (row.owner, row.edit) == (OWNER_REJECTED if item.flags & ITEM_BAD_ID else OWNER_NONE, 0)
        if item.flags & ITEM_RANDOM:
            assert keys.setdefault(item.trace_id, row.hash) == row.hash
        elif signal != TRACES and not item.flags & ITEM_BAD_ID:
            assert row.hash == resource_hash
    assert len(set(keys.values())) == len(keys)


# ---- protobuf


def same_contents(signal: int, body: bytes, found: Found) -> None:
    """The parts that the walk found, put together again, are the message as protobuf reads it."""
    whole, again = parsed(signal, renewed(body, found)), REQUESTS[signal]()
    if whole is None:  # the scopes of field 1000, which protobuf had not opened, have strings that are not UTF-8
        return
    pieces = [body[off:end] for off, end in found.frags]
    for part in found.resources:
        inner = b"".join(body[off:end] for off, end in part.frags)
        for scope in part.scopes:
            items = b"".join(body[item.off : item.end] for item in scope.items)
            inner += field(2, b"".join(body[off:end] for off, end in scope.frags) + items)
        pieces.append(field(1, inner))
    again.ParseFromString(b"".join(pieces))
    assert again.SerializeToString(deterministic=True) == whole.SerializeToString(deterministic=True)
    for part, resource in zip(found.resources, getattr(whole, whole.DESCRIPTOR.fields[0].name), strict=True):
        names = [a.value for a in resource.resource.attributes if a.key == "service.name"][:1]
        assert part.service == ((names[0].string_value.encode() if names else b"") or b"unknown_service")
        scopes = getattr(resource, resource.DESCRIPTOR.fields_by_number[2].name)
        inside = [item for scope in scopes for item in getattr(scope, scope.DESCRIPTOR.fields_by_number[2].name)]
        for item, message in zip(part.items, inside, strict=True):
            same_item(signal, item, message)


def same_item(signal: int, item: Item, message: Message) -> None:
    if signal in {TRACES, LOGS}:
        assert item.trace_id == message.trace_id  # type: ignore[attr-defined]
    if signal == TRACES:
        assert bool(item.flags & ITEM_ERROR) == (message.status.code == 2)  # type: ignore[attr-defined]
    if signal == METRICS:
        kind = message.WhichOneof("data")
        assert item.units == (len(getattr(message, kind).data_points) if kind is not None else 0)


def renewed(body: bytes, found: Found) -> bytes:
    """The request with scopes in their new place, and without those of the old one beside them."""
    if not any(part.dropped for part in found.resources):
        return body
    out = b"".join(body[off:end] for off, end in found.frags)
    for part in found.resources:
        inner = b""
        for f in fields(body, part.content, part.end):
            if (f.number, f.type) != (OLD_SCOPES, LEN):
                inner += body[f.off : f.end]
            elif (f.off, f.value, f.end) in [(s.off, s.content, s.end) for s in part.scopes]:
                inner += field(2, body[f.value : f.end])
        out += field(1, inner)
    return out


# ---- sampling


def sampling_of(tick: Tick, policy: Policy, found: Found) -> Sampling:
    sampling = Sampling(1.0, frozenset({TRACES, LOGS, METRICS}), policy.precision)
    for row, part in zip(tick.resources(), found.resources, strict=True):
        sampling.set_service(row.service, *policy.services.get(part.service, (policy.threshold, 1, 0)))
    for traffic_class, threshold in enumerate(policy.shed):
        sampling.set_shed(traffic_class, threshold)
    return sampling


def counted(page: PageReader, signal: int) -> Counter[tuple[str, str, int]]:
    """What the page says of sampling: by service, figure, and cause or k."""
    sums: Counter[tuple[str, str, int]] = Counter()
    for row in page.rows():
        if row.signal == signal:
            sums += Counter({(row.service, "out", cause): n for cause, n in enumerate(row.causes)})
            assert sum(row.causes) == row.sampled_out
    for spans in page.spans() if signal == TRACES else ():
        sums += Counter({(spans.service, "arrived", k): n for k, n in enumerate(spans.arrived, 1)})
        sums += Counter({(spans.service, what, 0): getattr(spans, what) for what in ("errors", "kept", "kept_bytes")})
    return sums


def same_decisions(tick: Tick, signal: int, body: bytes, found: Found, policy: Policy) -> Counter[tuple[str, str, int]]:
    """What has to be counted, as `counted` has it."""
    sums: Counter[tuple[str, str, int]] = Counter()
    faults = tick.figures()[2]
    services = {part.service for part in found.resources}
    before = {name: tick.row(signal, name) for name in services}
    kept = sample(tick, sampling_of(tick, policy, found))
    (doc,) = tick.docs()
    rows = tick.items()
    assert kept == doc.kept == sum(row.owner == OWNER_NONE for row in rows)
    assert doc.edited == sum(row.edit != 0 for row in rows)
    out = refused = 0
    for resource, part in zip(tick.resources(), found.resources, strict=True):
        shown = part.service.split(b"\0")[0][:255].decode(errors="replace")
        left = 0
        for row, item in zip(rows[resource.item0 :][: resource.items], part.items, strict=True):
            sums[shown, "errors", 0] += signal == TRACES and bool(item.flags & ITEM_ERROR)
            if item.flags & ITEM_BAD_ID:
                assert (row.owner, row.edit) == (OWNER_REJECTED, 0)
                refused += item.units
                continue
            verdict = decided(signal, body, item, policy.asks(part.service, error=bool(item.flags & ITEM_ERROR)))
            faults += verdict.fault
            left += verdict.kept
            sums[shown, "out", verdict.cause] += 0 if verdict.kept else item.units
            if signal == TRACES and verdict.arrived is not None and (k := halvings(verdict.arrived)):
                sums[shown, "arrived", min(k, 16)] += 1
            out += 0 if verdict.kept else item.units
            assert row.owner == (OWNER_NONE if verdict.kept else OWNER_SAMPLED_OUT)
            assert verdict.rand is None or row.rand == verdict.rand
            same_edit(tick, body, row, verdict.state)
        if signal == TRACES and left:
            sums[shown, "kept", 0] += left
            sums[shown, "kept_bytes", 0] += (part.end - part.off) * left // len(part.items)
    (outcome,) = tick.outcomes()
    assert (outcome.ok_items, outcome.refused_items, outcome.note != "") == (out, refused, refused > 0)
    assert tick.figures()[2] == faults, "tracestate_bad"
    received = rejected = sampled_out = 0
    for name in services:
        now, then = tick.row(signal, name), before[name]
        assert now.received == now.in_flight + now.forwarded + now.sampled_out + now.rejected
        received += now.received - then.received
        rejected += now.rejected - then.rejected
        sampled_out += now.sampled_out - then.sampled_out
    units = sum(part_item.units for part in found.resources for part_item in part.items)
    assert (received, sampled_out, rejected) == (units, out, refused)
    return +sums


def decided(signal: int, body: bytes, item: Item, asked: Asked) -> Verdict:
    if signal == PROFILES:
        return Verdict(kept=True)
    state = list(fields(body, *item.state))[-1:] if item.flags & ITEM_STATE else []
    text = body[state[0].value : state[0].end] if state else None
    rand = item.rand if item.flags & ITEM_RANDOM else None
    verdict = judge(asked, 4, rand, text)
    if signal != TRACES:
        verdict.state, verdict.fault = None, False
    return verdict


def edited(tick: Tick, body: bytes, row: ItemRow) -> bytes:
    """An item's content as split writes it."""
    content = body[row.content : row.end]
    if row.edit == 0:
        return content
    edit = tick.edits()[row.edit - 1]
    added = tick.arena()[edit.add_off : edit.add_off + edit.add_size]
    if edit.cut_off == edit.cut_end:
        return content + added
    assert row.content <= edit.cut_off <= edit.cut_end <= row.end
    return body[row.content : edit.cut_off] + body[edit.cut_end : row.end] + added


def same_edit(tick: Tick, body: bytes, row: ItemRow, state: bytes | None) -> None:
    """Nothing but the tracestate has changed, and that as it should."""
    assert (row.edit != 0) == (state is not None)
    if state is None:
        return
    now, then = edited(tick, body, row), body[row.content : row.end]
    states = [now[f.value : f.end] for f in fields(now) if (f.number, f.type) == (3, LEN)]
    assert states == ([state] if state else [])
    rest = [[b[f.off : f.end] for f in fields(b) if (f.number, f.type) != (3, LEN)] for b in (now, then)]
    assert rest[0] == rest[1]
