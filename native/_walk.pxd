"""The walk over an Export request, which adds its rows to the tables of a tick.

What we do not open is not checked inside: attributes of items, events, links, data points, instrumentation scopes,
nested values.  Neither are strings for UTF-8.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc
from _atomic cimport prefetch
from _hash cimport hash_bytes
from _otlp cimport (TAG_ITEMS, TAG_LOG_ID, TAG_NONE, TAG_OLD_SCOPES, TAG_RESOURCE, TAG_RESOURCES, TAG_SCOPES, TAG_SPAN_ID,
                    TAG_SPAN_STATE, TAG_SPAN_STATUS, read_metric)
from _resource cimport Known, merge_resource, read_resource
from _shape cimport SHAPE_NEW, Shape, read_item, shape_for, walk_item
from _tables cimport (ITEM_BAD_ID, ITEM_RANDOM, OWNER_NONE, OWNER_REJECTED, Doc, Frag, Item, Resource, Scope, Tables,
                      grown)
from _wire cimport read_len, read_tag, skip_value
from _work cimport SIGNAL_LOGS, SIGNAL_METRICS, SIGNAL_PROFILES, SIGNAL_TRACES, Request

cdef enum:
    MAX_ROWS = 1 << 21        # of a kind, for one request: 64 MiB of empty spans must not become 2 GB of table
    PREFETCH = 4096           # bytes ahead of the walk
    PREFETCH_FROM = 64 << 10  # size of messages that are in no near cache any more

cdef enum Verdict:
    SCANNED = 0
    MALFORMED = 1
    TOO_MANY = 2
    NO_MEMORY = 3

cdef struct Memo:             # kept from request to request; nothing depends on it but speed
    Shape shapes[64]
    Known known[16]

cdef struct Oddities:         # of a request; counted once it is known to be well formed
    uint32_t trace_id_missing
    uint32_t old_fields

# ---- rows

cdef inline Verdict room(void** rows, uint32_t n, uint32_t first, uint32_t* cap, size_t row_bytes) noexcept nogil:
    """Room for row n of a table in which this request began with row `first`."""
    cdef void* p
    if n - first >= MAX_ROWS:
        return TOO_MANY
    if n < cap[0]:
        return SCANNED
    p = grown(rows[0], n, cap, row_bytes)
    if p == NULL:
        return NO_MEMORY
    rows[0] = p
    return SCANNED

cdef inline Verdict add_frag(Tables* t, const Doc* d, uint32_t first, uint32_t off, uint32_t end) noexcept nogil:
    """Bytes that go along with every part; neighbours since row `first` become one."""
    cdef Verdict v
    if t.nfrags > first and t.frags[t.nfrags - 1].end == off:
        t.frags[t.nfrags - 1].end = end
        return SCANNED
    v = room(<void**>&t.frags, t.nfrags, d.frag0, &t.cfrags, sizeof(Frag))
    if v == SCANNED:
        t.frags[t.nfrags].off = off
        t.frags[t.nfrags].end = end
        t.nfrags += 1
    return v

# ---- the walk

cdef inline Verdict walk_scope(Tables* t, const Doc* d, Resource* resource, Scope* scope,
                               uint32_t signal, uint64_t hash, Oddities* odd) noexcept nogil:
    """Items of one scope; `hash` is the routing key of those that have none of their own."""
    cdef const uint8_t* b = d.body
    cdef const uint8_t* p = b + scope.off
    cdef const uint8_t* e = b + scope.end
    cdef const uint8_t* s
    cdef uint32_t tag, n, k, frag0 = t.nfrags, item0 = t.nitems, flags = 0, units = 0
    cdef Shape* shapes = (<Memo*>t.memo).shapes
    cdef Shape* shape
    cdef Item* item
    cdef Verdict v
    cdef bint good
    while p < e:
        s = p
        p = read_tag(p, e, &tag)
        if p == NULL:
            return MALFORMED
        if tag != TAG_ITEMS:
            p = skip_value(p, e, tag)
            if p == NULL:
                return MALFORMED
            v = add_frag(t, d, frag0, <uint32_t>(s - b), <uint32_t>(p - b))
            if v != SCANNED:
                return v
            scope.frag_bytes += <uint32_t>(p - s)
            continue
        p = read_len(p, e, &n)
        if p == NULL:
            return MALFORMED
        if d.size > PREFETCH_FROM:
            for k in range(0, n, 64):
                prefetch(p + PREFETCH + k)
        v = room(<void**>&t.items, t.nitems, d.item0, &t.citems, sizeof(Item))
        if v != SCANNED:
            return v
        item = &t.items[t.nitems]
        item.off = <uint32_t>(s - b)
        item.content = <uint32_t>(p - b)
        p += n
        item.end = <uint32_t>(p - b)
        item.edit = 0
        item.units = 1
        item.owner = OWNER_NONE
        if signal == SIGNAL_METRICS:
            if not read_metric(item, b):
                return MALFORMED
            item.hash = hash
        else:
            shape = shape_for(shapes, signal, p - n, n)
            if shape.signal == SHAPE_NEW:
                if signal == SIGNAL_TRACES:
                    good = walk_item(shape, p - n, p, TAG_SPAN_ID, TAG_SPAN_STATE, TAG_SPAN_STATUS)
                elif signal == SIGNAL_LOGS:
                    good = walk_item(shape, p - n, p, TAG_LOG_ID, TAG_NONE, TAG_NONE)
                else:
                    good = walk_item(shape, p - n, p, TAG_NONE, TAG_NONE, TAG_NONE)
                if not good:
                    return MALFORMED
                shape.signal = signal
            if not read_item(item, shape, b):
                return MALFORMED
            if item.flags & ITEM_BAD_ID:
                item.owner = OWNER_REJECTED
            elif not item.flags & ITEM_RANDOM:
                item.hash = hash
                if signal == SIGNAL_TRACES:
                    item.hash = hash_bytes(p - n, n)
                    odd.trace_id_missing += 1
        flags |= item.flags
        units += item.units
        t.nitems += 1
    scope.item0 = item0
    scope.items = t.nitems - item0
    scope.frag0 = frag0
    scope.frags = t.nfrags - frag0
    resource.flags |= flags
    resource.units += units
    return SCANNED

cdef inline Verdict add_scope(Tables* t, uint32_t first, uint32_t off, uint32_t end) noexcept nogil:
    cdef Verdict v = room(<void**>&t.scopes, t.nscopes, first, &t.cscopes, sizeof(Scope))
    cdef Scope* scope
    if v == SCANNED:
        scope = &t.scopes[t.nscopes]
        scope.off = off
        scope.end = end
        scope.frag_bytes = 0
        t.nscopes += 1
    return v

cdef inline Verdict add_old_scopes(Tables* t, const Doc* d, const Resource* resource, uint32_t first) noexcept nogil:
    """The scopes of a Resource* that has them in field 1000 only; its framing has been checked."""
    cdef const uint8_t* p = d.body + resource.content
    cdef const uint8_t* e = d.body + resource.end
    cdef uint32_t tag, n
    cdef Verdict v
    while p < e:
        p = read_tag(p, e, &tag)
        if p == NULL:
            return MALFORMED
        if tag != TAG_OLD_SCOPES:
            p = skip_value(p, e, tag)
            if p == NULL:
                return MALFORMED
            continue
        p = read_len(p, e, &n)
        if p == NULL:
            return MALFORMED
        v = add_scope(t, first, <uint32_t>(p - d.body), <uint32_t>(p + n - d.body))
        if v != SCANNED:
            return v
        p += n
    return SCANNED

cdef inline Verdict walk_resource(Tables* t, const Doc* d, Resource* resource, uint32_t signal, uint32_t scope0,
                                  Oddities* odd) noexcept nogil:
    """The scopes of one Resource*, what else is in it, and its service.

    Field 1000 was the scopes' old place, with the same layout.  A peer that sends nothing else has it moved to
    field 2; beside a field 2 it is a copy of the same items, and left out.
    """
    cdef const uint8_t* b = d.body
    cdef const uint8_t* p = b + resource.content
    cdef const uint8_t* e = b + resource.end
    cdef const uint8_t* s
    cdef const uint8_t* message = NULL
    cdef uint32_t tag, n, size = 0, messages = 0, old = 0
    cdef Memo* memo = <Memo*>t.memo
    cdef Verdict v
    resource.scope0 = t.nscopes
    resource.frag0 = t.nfrags
    resource.frag_bytes = resource.dropped = resource.units = resource.flags = 0
    while p < e:
        s = p
        p = read_tag(p, e, &tag)
        if p == NULL:
            return MALFORMED
        if tag == TAG_SCOPES or (tag == TAG_OLD_SCOPES and signal != SIGNAL_PROFILES):
            p = read_len(p, e, &n)
            if p == NULL:
                return MALFORMED
            if tag == TAG_OLD_SCOPES:
                old += 1
            else:
                v = add_scope(t, scope0, <uint32_t>(p - b), <uint32_t>(p + n - b))
                if v != SCANNED:
                    return v
            p += n
            continue
        if tag == TAG_RESOURCE:
            p = read_len(p, e, &size)
            if p == NULL:
                return MALFORMED
            message = p
            messages += 1
            p += size
        else:
            p = skip_value(p, e, tag)
            if p == NULL:
                return MALFORMED
        v = add_frag(t, d, resource.frag0, <uint32_t>(s - b), <uint32_t>(p - b))
        if v != SCANNED:
            return v
        resource.frag_bytes += <uint32_t>(p - s)
    if old:
        resource.dropped = 1
        if t.nscopes == resource.scope0:
            v = add_old_scopes(t, d, resource, scope0)
            if v != SCANNED:
                return v
        else:
            odd.old_fields += old
    resource.scopes = t.nscopes - resource.scope0
    resource.frags = t.nfrags - resource.frag0
    if messages == 1:
        if not read_resource(memo.known, t.core.ledger, message, size, &resource.service, &resource.hash):
            return MALFORMED
    elif not merge_resource(t.core.ledger, b + resource.content, e, &resource.service, &resource.hash):
        return MALFORMED
    return SCANNED

cdef inline Verdict walk_request(Tables* t, Doc* d, Oddities* odd) noexcept nogil:
    """The Resource* of a request and what else is in it."""
    cdef const uint8_t* b = d.body
    cdef const uint8_t* p = b
    cdef const uint8_t* e = b + d.size
    cdef const uint8_t* s
    cdef uint32_t tag, n, i, k, scope0 = t.nscopes, signal = d.request.signal
    cdef uint64_t hash = 0
    cdef Resource* resource
    cdef Verdict v
    while p < e:
        s = p
        p = read_tag(p, e, &tag)
        if p == NULL:
            return MALFORMED
        if tag != TAG_RESOURCES:
            p = skip_value(p, e, tag)
            if p == NULL:
                return MALFORMED
            v = add_frag(t, d, d.frag0, <uint32_t>(s - b), <uint32_t>(p - b))
            if v != SCANNED:
                return v
            continue
        p = read_len(p, e, &n)
        if p == NULL:
            return MALFORMED
        v = room(<void**>&t.resources, t.nresources, d.resource0, &t.cresources, sizeof(Resource))
        if v != SCANNED:
            return v
        resource = &t.resources[t.nresources]
        resource.off = <uint32_t>(s - b)
        resource.content = <uint32_t>(p - b)
        p += n
        resource.end = <uint32_t>(p - b)
        t.nresources += 1
    d.frags = t.nfrags - d.frag0
    for i in range(d.resource0, t.nresources):
        resource = &t.resources[i]
        v = walk_resource(t, d, resource, signal, scope0, odd)
        if v != SCANNED:
            return v
        if i == d.resource0 or signal != SIGNAL_PROFILES:
            hash = resource.hash
        resource.item0 = t.nitems
        for k in range(resource.scope0, t.nscopes):
            v = walk_scope(t, d, resource, &t.scopes[k], signal, hash, odd)
            if v != SCANNED:
                return v
        resource.items = t.nitems - resource.item0
        d.dropped += resource.dropped
    return SCANNED

cdef inline Verdict scan_doc(Tables* t, Request* r, const uint8_t* body, uint32_t size) noexcept nogil:
    """Adds the rows of one request; adds none unless the verdict is SCANNED."""
    cdef uint32_t ndocs = t.ndocs, nresources = t.nresources, nscopes = t.nscopes, nitems = t.nitems, nfrags = t.nfrags
    cdef Oddities odd
    cdef Doc* d
    cdef Verdict v = room(<void**>&t.docs, t.ndocs, 0, &t.cdocs, sizeof(Doc))
    if t.memo == NULL:
        t.memo = calloc(1, sizeof(Memo))
        if t.memo == NULL:
            return NO_MEMORY
    if v == SCANNED:
        d = &t.docs[t.ndocs]
        d.request = r
        d.body = body
        d.size = size
        d.resource0 = t.nresources
        d.item0 = t.nitems
        d.frag0 = t.nfrags
        d.kept = d.edited = d.dropped = 0
        d.whole = r.signal == SIGNAL_PROFILES
        t.ndocs += 1
        odd.trace_id_missing = odd.old_fields = 0
        v = walk_request(t, d, &odd)
    if v != SCANNED:
        t.ndocs = ndocs
        t.nresources = nresources
        t.nscopes = nscopes
        t.nitems = nitems
        t.nfrags = nfrags
        return v
    d.resources = t.nresources - d.resource0
    d.items = t.nitems - d.item0
    if not r.judged:
        t.core.ledger.page.worker.trace_id_missing += odd.trace_id_missing
        t.core.ledger.page.worker.old_field += odd.old_fields
    return SCANNED
