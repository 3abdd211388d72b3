"""split: the items of a tick, written once into the batch of the backend that owns them.

A request that goes whole and unedited to one backend is one copy, so is a ResourceSpans; otherwise the resource and
scope headers are written again for each owner, and items follow in runs of neighbours.  The result is equal under
protobuf's merge to the request without its dropped items; unknown fields survive at every level.

Two-phase: room is asked for at all owners before the first byte is written; without it the request is turned away whole.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc
from libc.string cimport memcpy
from _ledger cimport MAX_BACKENDS, book_rejected, book_dropped, DROP_CLIENT_GONE
from _outcome cimport resolved, set_note, turn_away
from _rewrite cimport frag_bytes, item_size, write_frags, write_item
from _share cimport hold, no_room_at
from _tables cimport OWNER_LAST, OWNER_NONE, OWNER_REJECTED, Doc, Item, Resource, Scope, Tables
from _wire cimport len_size, write_short
from _work cimport *
from sidecar._native.batch cimport part_close, part_count, part_open, pending_for, reserve, root_of
from sidecar._native.scan cimport Tick

cdef enum:
    TAG_RESOURCES = 0x0a      # resource_spans, resource_logs, resource_metrics: field 1
    TAG_SCOPES = 0x12         # scope_spans ...: field 2
    HEADER_BYTES = 6          # of a ResourceSpans or ScopeSpans: tag and length, at most
    EDIT_BYTES = 40           # by which an edit may lengthen an item: `ot=th:` of 14 digits, and longer lengths

cdef struct Owner:            # what one owner gets of the document, and of the resource being written
    Batch* batch              # NULL while it gets nothing
    uint32_t part
    uint32_t units
    uint32_t resource_bytes
    uint32_t scope_bytes
    uint8_t* w

cdef struct Work:
    Tables* t
    size_t size               # of this document when it is written, at most
    bint anew                 # resources are not copied as they came: their bytes are counted
    Owner* owners             # [MAX_BACKENDS]
    uint16_t touched[1024]    # owners of this document
    uint32_t ntouched
    uint16_t local[1024]      # owners of this resource
    uint32_t nlocal
    uint64_t items_held       # in flight, without those documents of the tick that are still to come

cdef Work WORK
WORK.owners = <Owner*>calloc(MAX_BACKENDS, sizeof(Owner))
if WORK.owners == NULL:
    raise MemoryError

cdef Owner* open_owner(Work* k, const Doc* d, uint16_t number) noexcept nogil:
    """Opens a part of this document for an owner."""
    cdef Owner* o = &k.owners[number]
    cdef Core* core = k.t.core
    cdef Request* r = d.request
    o.batch = pending_for(core, core.owners[number], r.signal, k.size)
    if core.queued_ack and r.parent == NULL and not r.judged:
        o.part = part_open(core, o.batch, NULL, core.now_ns + core.queue_age_ns)
    elif r.parent == NULL and r.judged:
        o.part = part_open(core, o.batch, NULL, r.deadline_ns)
        o.batch.parts[o.part].rerouted = 1
    else:
        o.part = part_open(core, o.batch, r, r.deadline_ns)
    k.touched[k.ntouched] = number
    k.ntouched += 1
    return o

cdef inline Owner* owner_of(Work* k, const Doc* d, uint16_t number) noexcept nogil:
    """The owner's record; at its first use a part is opened that begins with the fields of the request we do not know."""
    cdef Owner* o = &k.owners[number]
    if o.batch == NULL:
        o = open_owner(k, d, number)
        if d.frags:
            write_frags(k.t, d.body, d.frag0, d.frags, reserve(k.t.core, o.batch, frag_bytes(k.t, d)))
    return o

cdef inline void scope_sizes(Work* k, const Scope* scope, uint32_t first, uint32_t last) noexcept nogil:
    """Adds up, for each owner in k.local, the bytes of its items of one scope; headers not included."""
    cdef Tables* t = k.t
    cdef uint32_t i, a = scope.item0, b = scope.item0 + scope.items
    cdef Item* it
    if a < first:
        a = first
    if b > last:
        b = last
    for i in range(k.nlocal):
        k.owners[k.local[i]].scope_bytes = 0
    for i in range(a, b):
        it = &t.items[i]
        if it.owner < OWNER_LAST:
            k.owners[it.owner].scope_bytes += item_size(t, it)

cdef void write_scope(Work* k, const uint8_t* body, const Scope* scope, uint32_t first, uint32_t last) noexcept nogil:
    cdef Tables* t = k.t
    cdef uint32_t i = scope.item0, b = scope.item0 + scope.items, off, end
    cdef Item* it
    cdef Owner* o
    cdef uint32_t j
    for j in range(k.nlocal):
        o = &k.owners[k.local[j]]
        if o.scope_bytes:
            o.w[0] = TAG_SCOPES
            o.w = write_short(o.w + 1, o.scope_bytes + scope.frag_bytes)
            o.w = write_frags(t, body, scope.frag0, scope.frags, o.w)
    if i < first:
        i = first
    if b > last:
        b = last
    while i < b:
        it = &t.items[i]
        i += 1
        if it.owner >= OWNER_LAST:
            continue
        o = &k.owners[it.owner]
        if it.edit:
            o.w = write_item(t, body, it, o.w)
            continue
        off = it.off              # a run of neighbours with one owner is one copy
        end = it.end
        while i < b and t.items[i].owner == it.owner and t.items[i].edit == 0 and t.items[i].off == end:
            end = t.items[i].end
            i += 1
        memcpy(o.w, body + off, end - off)
        o.w += end - off

cdef void write_resource(Work* k, const Doc* d, const Resource* rs, uint32_t first, uint32_t last) noexcept nogil:
    """The items first .. last of one resource, to whoever owns them."""
    cdef Tables* t = k.t
    cdef uint32_t i, j, n, a = rs.item0, b = rs.item0 + rs.items
    cdef Owner* o
    cdef Item* it
    cdef Scope* scope
    cdef uint8_t* w
    cdef bint plain = not k.anew
    if a < first:
        a = first
    if b > last:
        b = last
    k.nlocal = 0
    for i in range(a, b):
        it = &t.items[i]
        if it.edit:
            plain = False
        if it.owner >= OWNER_LAST:
            plain = False
            continue
        o = owner_of(k, d, it.owner)
        if o.units == 0 and o.resource_bytes == 0:
            k.local[k.nlocal] = it.owner
            k.nlocal += 1
            o.resource_bytes = 1      # marks it as listed
        o.units += it.units
    if k.nlocal == 0:
        return
    if k.nlocal == 1 and plain and not rs.dropped and a == rs.item0 and b == rs.item0 + rs.items:
        o = &k.owners[k.local[0]]
        memcpy(reserve(t.core, o.batch, rs.end - rs.off), d.body + rs.off, rs.end - rs.off)
        part_count(t.core, o.batch, o.part, <uint16_t>rs.service, o.units)
        o.units = o.resource_bytes = 0
        return
    for j in range(k.nlocal):
        k.owners[k.local[j]].resource_bytes = rs.frag_bytes
    for i in range(rs.scope0, rs.scope0 + rs.scopes):
        scope = &t.scopes[i]
        if scope.item0 >= b or scope.item0 + scope.items <= a:
            continue
        scope_sizes(k, scope, a, b)
        for j in range(k.nlocal):
            o = &k.owners[k.local[j]]
            if o.scope_bytes:
                n = o.scope_bytes + scope.frag_bytes
                o.resource_bytes += 1 + len_size(n) + n
    for j in range(k.nlocal):
        o = &k.owners[k.local[j]]
        n = o.resource_bytes
        w = reserve(t.core, o.batch, 1 + len_size(n) + n)
        w[0] = TAG_RESOURCES
        w = write_short(w + 1, n)
        o.w = write_frags(t, d.body, rs.frag0, rs.frags, w)
    for i in range(rs.scope0, rs.scope0 + rs.scopes):
        scope = &t.scopes[i]
        if scope.item0 >= b or scope.item0 + scope.items <= a:
            continue
        if rs.scopes > 1:             # with one scope the sizes of the first pass still stand
            scope_sizes(k, scope, a, b)
        write_scope(k, d.body, scope, a, b)
    for j in range(k.nlocal):
        o = &k.owners[k.local[j]]
        part_count(t.core, o.batch, o.part, <uint16_t>rs.service, o.units)
        o.units = o.resource_bytes = o.scope_bytes = 0

cdef void close_parts(Work* k) noexcept nogil:
    cdef uint32_t i
    cdef Owner* o
    for i in range(k.ntouched):
        o = &k.owners[k.touched[i]]
        part_close(o.batch, o.part)
        o.batch = NULL
    k.ntouched = 0

cdef void split_range(Work* k, const Doc* d, uint32_t first, uint32_t last) noexcept nogil:
    cdef uint32_t i
    cdef Resource* rs
    for i in range(d.resource0, d.resource0 + d.resources):
        rs = &k.t.resources[i]
        if rs.item0 < last and rs.item0 + rs.items > first:
            write_resource(k, d, rs, first, last)
    close_parts(k)

cdef void refuse_item(Tables* t, Request* r, const Resource* rs, Item* it) noexcept nogil:
    """An item that does not fit into any message to its backend."""
    it.owner = OWNER_REJECTED
    r.refused_items += it.units
    if r.status == GRPC_OK:
        r.status = GRPC_RESOURCE_EXHAUSTED
    set_note(r, b"an item is larger than its backend takes")
    if root_of(r).conn != NULL:
        book_rejected(t.core.ledger, r.signal, rs.service, it.units)
    else:
        book_dropped(t.core.ledger, r.signal, rs.service, it.units, DROP_CLIENT_GONE)

cdef void split_large(Work* k, Doc* d, size_t limit) noexcept nogil:
    """A request over the message limit of its backends: several parts, each of neighbouring items that fit.

    What is counted is what would go to one owner that gets all of them, so that no part is larger than the limit.
    """
    cdef Tables* t = k.t
    cdef size_t overhead = frag_bytes(t, d), used = overhead, around, size
    cdef uint32_t i, j, n, first = d.item0
    cdef Resource* rs
    cdef Scope* scope
    cdef Item* it
    k.size = limit
    k.anew = True
    for i in range(d.resource0, d.resource0 + d.resources):
        rs = &t.resources[i]
        used += HEADER_BYTES + rs.frag_bytes
        for j in range(rs.scope0, rs.scope0 + rs.scopes):
            scope = &t.scopes[j]
            used += HEADER_BYTES + scope.frag_bytes
            around = overhead + 2 * HEADER_BYTES + rs.frag_bytes + scope.frag_bytes
            for n in range(scope.item0, scope.item0 + scope.items):
                it = &t.items[n]
                if it.owner >= OWNER_LAST:
                    continue
                size = item_size(t, it)
                if around + size > limit:
                    refuse_item(t, d.request, rs, it)
                    continue
                if used + size > limit:
                    split_range(k, d, first, n)
                    first = n
                    used = around
                used += size
    split_range(k, d, first, d.item0 + d.items)
    k.anew = False

cdef bint room_at_owners(Work* k, const Doc* d, uint16_t* only, size_t* limit) noexcept nogil:
    """Whether every kept item has an owner, and every owner room for the whole document.

    only: the owner of all of them, or OWNER_LAST; limit: the smallest message that one of the owners still takes.
    """
    cdef Tables* t = k.t
    cdef uint32_t i
    cdef uint16_t owner, last = OWNER_LAST
    cdef Backend* backend
    cdef Conn* conn = root_of(d.request).conn
    only[0] = OWNER_LAST
    limit[0] = <size_t>-1
    for i in range(d.item0, d.item0 + d.items):
        owner = t.items[i].owner
        if owner == OWNER_NONE:
            return False              # no member has a weight
        if owner == last or owner >= OWNER_LAST:
            continue
        if last == OWNER_LAST:
            only[0] = owner
        elif owner != only[0]:
            only[0] = OWNER_LAST
        last = owner
        backend = t.core.owners[owner]
        if no_room_at(t.core, backend, conn, k.size):
            return False
        if backend.message_limit_bytes < limit[0]:
            limit[0] = backend.message_limit_bytes
    return True

cdef void split_doc(Work* k, Doc* d) noexcept nogil:
    cdef Tables* t = k.t
    cdef Core* core = t.core
    cdef Request* r = d.request
    cdef Owner* o
    cdef Resource* rs
    cdef uint16_t only
    cdef size_t limit
    cdef uint32_t i, j, units
    if d.kept == 0:
        resolved(core, r)
        return
    k.size = d.size + <size_t>d.edited * EDIT_BYTES
    if r.gzip and r.conn != NULL and d.size > r.held_bytes:
        hold(r.conn, r, d.size - r.held_bytes)    # inflated, it counts for more
    if core.items_limit and not r.judged:
        if k.items_held >= core.items_limit:
            unbook(t, d)
            turn_away(core, r, core.retry_after_ms, b"the gateway holds as many items as it may")
            return
    if not room_at_owners(k, d, &only, &limit):
        unbook(t, d)
        turn_away(core, r, core.retry_after_ms, b"no backend has room for the request")
        return
    if core.items_limit and not r.judged:
        k.items_held += units_kept(t, d)
    r.open_parts += 1                 # held until all parts are there
    if core.queued_ack and not r.judged:
        for i in range(d.item0, d.item0 + d.items):
            if t.items[i].owner < OWNER_LAST:
                r.ok_items += t.items[i].units
    if k.size > limit:
        split_large(k, d, limit)
    elif only < OWNER_LAST and d.kept == d.items and d.edited == 0 and d.dropped == 0:
        o = open_owner(k, d, only)
        memcpy(reserve(core, o.batch, d.size), d.body, d.size)
        for i in range(d.resource0, d.resource0 + d.resources):
            rs = &t.resources[i]
            units = rs.items
            if r.signal == SIGNAL_METRICS:
                units = 0
                for j in range(rs.item0, rs.item0 + rs.items):
                    units += t.items[j].units
            if rs.items:
                part_count(core, o.batch, o.part, <uint16_t>rs.service, units)
        close_parts(k)
    else:
        split_range(k, d, d.item0, d.item0 + d.items)
    r.open_parts -= 1
    if r.open_parts == 0:
        resolved(core, r)

cdef uint64_t units_kept(const Tables* t, const Doc* d) noexcept nogil:
    """What sample has booked as in flight for a document."""
    cdef uint64_t units = 0
    cdef uint32_t i
    for i in range(d.item0, d.item0 + d.items):
        if t.items[i].owner < OWNER_LAST or t.items[i].owner == OWNER_NONE:
            units += t.items[i].units
    return units

cdef void unbook(Tables* t, const Doc* d) noexcept nogil:
    """A document that finds no room: what sample booked as in flight is rejected (or dropped, if nobody is told)."""
    cdef uint32_t i, j, units
    cdef Resource* rs
    cdef bint told = root_of(d.request).conn != NULL
    for i in range(d.resource0, d.resource0 + d.resources):
        rs = &t.resources[i]
        units = 0
        for j in range(rs.item0, rs.item0 + rs.items):
            if t.items[j].owner < OWNER_LAST or t.items[j].owner == OWNER_NONE:
                units += t.items[j].units
        if units and told:
            book_rejected(t.core.ledger, d.request.signal, rs.service, units)
        elif units:
            book_dropped(t.core.ledger, d.request.signal, rs.service, units, DROP_CLIENT_GONE)

cdef void split_tick(Tables* t) noexcept nogil:
    """Writes all documents of the tick into batches; releases their bodies."""
    cdef uint32_t i
    WORK.t = t
    WORK.items_held = t.core.ledger.in_flight
    if t.core.items_limit:            # sample has booked all of the tick: what was there before counts
        for i in range(t.ndocs):
            WORK.items_held -= units_kept(t, &t.docs[i]) if not t.docs[i].request.judged else 0
    for i in range(t.ndocs):
        split_doc(&WORK, &t.docs[i])

def split(Tick tick not None):
    """One native call per tick: every kept item goes into the pending batch of its owner."""
    with nogil:
        split_tick(&tick.tables)
