"""What becomes of parts: they end, booked and told to their request, or are handed on to the next owners.

Every function here takes batches that are in no list.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from _chunk cimport no_memory, take
from _ledger cimport DROP_CLIENT_GONE, book_dropped, book_forwarded, book_rejected
from _outcome cimport request_new, resolved, set_note
from _prefix cimport write_prefix
from _tables cimport OWNER_NONE
from _work cimport *
from sidecar._native.batch cimport batch_new, batch_release, part_copy, part_move, root_of

cdef void part_done(Core* core, Batch* b, Part* p, Fate fate, uint8_t status, const char* words, uint32_t retry_after_ms,
                    uint32_t drop_reason) noexcept nogil:
    """Books a part and tells its request; the last part of a request answers it."""
    cdef Request* r = p.request
    cdef uint32_t i
    cdef uint16_t service
    cdef uint32_t n
    cdef bint told = r != NULL and root_of(r).conn != NULL
    if p.late:
        if fate == FORWARDED:
            core.ledger.page.worker.forwarded_late += p.items
        return
    if fate != FORWARDED:
        figures_of(core, b.backend).failed_items[b.signal] += p.items
    for i in range(p.entry, p.entry + p.entries):
        service = b.entries[i].service
        n = b.entries[i].items
        if fate == FORWARDED:
            book_forwarded(core.ledger, b.signal, service, n)
        elif told:
            book_rejected(core.ledger, b.signal, service, n)
        else:
            book_dropped(core.ledger, b.signal, service, n, DROP_CLIENT_GONE if r != NULL else drop_reason)
    p.request = NULL
    p.late = 1                        # nothing is booked twice
    if r == NULL:
        return
    if fate == FORWARDED:
        r.ok_items += p.items
    elif fate == PASSING:
        r.retryable = 1
        if retry_after_ms > r.retry_after_ms:
            r.retry_after_ms = retry_after_ms
        set_note(r, words)
    else:
        r.refused_items += p.items
        if r.status == GRPC_OK:
            r.status = status
        set_note(r, words)
    r.open_parts -= 1
    if r.open_parts == 0:
        resolved(core, r)

cdef void batch_done(Core* core, Batch* b, Fate fate, uint8_t status, const char* words, uint32_t retry_after_ms,
                     uint32_t drop_reason) noexcept nogil:
    """Ends all parts of a batch that is in no list, and the batch."""
    cdef uint32_t i
    for i in range(b.nparts):
        part_done(core, b, &b.parts[i], fate, status, words, retry_after_ms, drop_reason)
        b.backend.queued_bytes -= b.parts[i].size
    batch_release(core, b)

cdef void reroute_part(Core* core, Batch* b, Part* p) noexcept nogil:
    """The part goes through the pipeline again as a request of its own, to the next owners of its slots."""
    cdef Request* r = request_new(core)
    cdef size_t n = p.size + GRPC_PREFIX
    if r == NULL:
        no_memory()
    r.body = <uint8_t*>take(core, n, &r.cap)
    r.booked_bytes = r.cap
    r.len = n
    write_prefix(r.body, False, p.size)
    part_copy(core, p, r.body + GRPC_PREFIX)
    r.signal = b.signal
    r.judged = 1
    r.avoid = b.backend.owner + 1 if b.backend.owner != OWNER_NONE else 0
    r.arrived_ns = core.now_ns
    r.deadline_ns = p.deadline_ns
    r.parent = p.request              # its count of open parts stays: this is the part now
    p.request = NULL
    p.late = 1
    figures_of(core, b.backend).rerouted += 1
    ready_push(core, r)

cdef void reroute_batch(Core* core, Batch* b) noexcept nogil:
    """Ends a batch that is in no list by handing every part on."""
    cdef uint32_t i
    for i in range(b.nparts):
        if not b.parts[i].late:
            reroute_part(core, b, &b.parts[i])
        b.backend.queued_bytes -= b.parts[i].size
    batch_release(core, b)

cdef Batch* compacted(Core* core, Batch* b) noexcept nogil:
    """The batch without the parts that were given up; NULL when none is left.  b is in no list and is used up."""
    cdef Batch* rest
    cdef uint32_t i, live = 0
    for i in range(b.nparts):
        live += not b.parts[i].late
    if live == b.nparts:
        return b
    rest = batch_new(core, b.backend, b.signal) if live else NULL
    for i in range(b.nparts):
        if b.parts[i].late:
            b.backend.queued_bytes -= b.parts[i].size
        else:
            part_move(core, b, i, rest)
    if rest != NULL:
        rest.state = BATCH_WAITING
        rest.first_ns = b.first_ns
        rest.tries = b.tries
        rest.alone = b.alone
        rest.due_ns = b.due_ns
    batch_release(core, b)
    return rest

cdef void drop_gone(Core* core, Batch* b) noexcept nogil:
    """Memory is short: unsent parts whose client has gone are dropped."""
    cdef uint32_t i
    cdef Part* p
    for i in range(b.nparts):
        p = &b.parts[i]
        if p.request != NULL and root_of(p.request).conn == NULL:
            part_done(core, b, p, PASSING, GRPC_UNAVAILABLE, NULL, 0, DROP_CLIENT_GONE)

cdef void hand_on(Core* core, Batch* b) noexcept nogil:
    """An open call that has used half of its time: its parts go to the next owners too, who answer for them now."""
    cdef uint32_t i
    for i in range(b.nparts):
        if not b.parts[i].late:
            reroute_part(core, b, &b.parts[i])
    b.deadline_ns = core.now_ns       # the call itself is given up by the next sweep
