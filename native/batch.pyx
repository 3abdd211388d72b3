"""Batches and their parts: where the items of a tick are written, one batch per backend and signal.

A part is one request's share; its bytes are a message of their own, so a batch is their concatenation (a protobuf
merge) and a part can be sent again, or elsewhere, alone.
"""
from collections import namedtuple

from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset
from _chunk cimport chunk_new, chunks_free, give, take
from _pool cimport pool_put
from _work cimport *
from sidecar._native.core cimport WorkerCore

cdef Batch* batch_new(Core* core, Backend* backend, uint8_t signal) noexcept nogil:
    cdef size_t cap
    cdef Batch* b = <Batch*>take(core, sizeof(Batch), &cap)
    memset(b, 0, sizeof(Batch))
    b.backend = backend
    b.signal = signal
    b.status = -1
    b.deadline_ns = INT64_MAX
    b.first_ns = core.now_ns
    return b

cdef void clear_answer(Core* core, Batch* b) noexcept nogil:
    """Forgets the last answer; the compressed form serves the next try too."""
    if b.answer != NULL:
        pool_put(&core.pool, b.answer, b.answer_cap)
        b.answer = NULL
        b.answer_len = b.answer_cap = 0
    free(b.message)
    free(b.details)
    b.message = NULL
    b.details = NULL
    b.details_len = 0

cdef void batch_free(Core* core, Batch* b) noexcept nogil:
    clear_answer(core, b)
    chunks_free(core, b.gzip_head)
    chunks_free(core, b.head)
    give(core, b.parts, b.cparts * sizeof(Part))
    give(core, b.entries, b.centries * sizeof(Entry))
    give(core, b, sizeof(Batch))

cdef void batch_release(Core* core, Batch* b) noexcept nogil:
    """Frees a batch, later if bytes of it are unsent."""
    if b.conn != NULL and b.conn.nunsent:
        b.next = b.conn.parked
        b.conn.parked = b
        return
    batch_free(core, b)

cdef void release_parked(Conn* c) noexcept nogil:
    """The connection has nothing unsent any more (or is gone)."""
    cdef Batch* b = c.parked
    cdef Batch* next
    c.parked = NULL
    while b != NULL:
        next = b.next
        b.conn = NULL
        batch_free(c.core, b)
        b = next

cdef uint8_t* reserve(Core* core, Batch* b, size_t n) noexcept nogil:
    """Room for n contiguous bytes at the end of the batch; the caller fills all of it."""
    cdef Chunk* chunk = b.tail
    cdef uint8_t* p
    cdef size_t want
    if chunk == NULL or chunk.len + n > chunk.cap:
        want = CHUNK_FIRST if chunk == NULL else CHUNK_NEXT
        chunk = chunk_new(core, n if n > want - sizeof(Chunk) else want - sizeof(Chunk))
        if b.tail != NULL:
            b.tail.next = chunk
        else:
            b.head = chunk
        b.tail = chunk
    p = chunk.data + chunk.len
    chunk.len += n
    b.len += n
    return p

cdef Batch* pending_for(Core* core, Backend* backend, uint8_t signal, size_t n) noexcept nogil:
    """The batch that gathers for a backend, with room for n more bytes under its limits; a full one is moved on."""
    cdef Batch* b = backend.pending[signal]
    if b != NULL and b.nparts and (b.len + n > core.batch_limit_bytes or b.len + n > backend.message_limit_bytes
                                   or b.items >= core.batch_limit_items
                                   or backend.unmerged_until_ns > core.now_ns or signal == SIGNAL_PROFILES):
        backend.pending[signal] = NULL
        b.state = BATCH_WAITING
        list_push(&backend.waiting, b)
        b = NULL
    if b == NULL:
        b = batch_new(core, backend, signal)
        backend.pending[signal] = b
    return b

cdef uint32_t part_open(Core* core, Batch* b, Request* r, int64_t deadline_ns) noexcept nogil:
    """Starts the next part at the current end of the batch; returns its number."""
    cdef size_t cap
    cdef Part* parts
    cdef Part* p
    if b.nparts == b.cparts:
        parts = <Part*>take(core, (b.cparts * 2 if b.cparts else 8) * sizeof(Part), &cap)
        if b.nparts:
            memcpy(parts, b.parts, b.nparts * sizeof(Part))
            give(core, b.parts, b.cparts * sizeof(Part))
        b.parts = parts
        b.cparts = <uint32_t>(cap // sizeof(Part))
    p = &b.parts[b.nparts]
    memset(p, 0, sizeof(Part))
    p.request = r
    p.chunk = b.tail
    p.offset = <uint32_t>b.tail.len if b.tail != NULL else 0
    p.size = <uint32_t>b.len          # until part_close: the batch's length before it
    p.entry = b.nentries
    p.deadline_ns = deadline_ns
    if deadline_ns < b.deadline_ns:
        b.deadline_ns = deadline_ns
    if r != NULL:
        r.open_parts += 1
        p.rerouted = r.avoid != 0
    b.nparts += 1
    return b.nparts - 1

cdef void part_count(Core* core, Batch* b, uint32_t part, uint16_t service, uint32_t items) noexcept nogil:
    """Adds items of a service to a part that is open."""
    cdef Part* p = &b.parts[part]
    cdef size_t cap
    cdef Entry* entries
    p.items += items
    b.items += items
    if p.entries and b.entries[b.nentries - 1].service == service:
        b.entries[b.nentries - 1].items += items
        return
    if b.nentries == b.centries:
        entries = <Entry*>take(core, (b.centries * 2 if b.centries else 64) * sizeof(Entry), &cap)
        if b.nentries:
            memcpy(entries, b.entries, b.nentries * sizeof(Entry))
            give(core, b.entries, b.centries * sizeof(Entry))
        b.entries = entries
        b.centries = <uint32_t>(cap // sizeof(Entry))
    b.entries[b.nentries].service = service
    b.entries[b.nentries].items = items
    b.nentries += 1
    p.entries += 1

cdef void part_close(Batch* b, uint32_t part) noexcept nogil:
    cdef Part* p = &b.parts[part]
    p.size = <uint32_t>b.len - p.size
    if p.chunk == NULL:               # the batch was empty
        p.chunk = b.head
    b.backend.queued_bytes += p.size

cdef Request* root_of(Request* r) noexcept nogil:
    """The request of a client behind a rerouted part."""
    while r.parent != NULL:
        r = r.parent
    return r

cdef void part_copy(Core* core, const Part* p, uint8_t* w) noexcept nogil:
    """Writes the p.size bytes of a part to w, over chunk borders."""
    cdef Chunk* chunk = p.chunk
    cdef size_t offset = p.offset, left = p.size, n
    while left:
        n = chunk.len - offset
        if n > left:
            n = left
        memcpy(w, chunk.data + offset, n)
        w += n
        left -= n
        chunk = chunk.next
        offset = 0

cdef void part_move(Core* core, Batch* source, uint32_t part, Batch* target) noexcept nogil:
    """Copies a part to the end of another batch of the same backend; the request's count of open parts stays."""
    cdef Part* p = &source.parts[part]
    cdef uint32_t i, k
    cdef uint8_t* w
    k = part_open(core, target, NULL, p.deadline_ns)
    w = reserve(core, target, p.size)
    part_copy(core, p, w)
    for i in range(p.entries):
        part_count(core, target, k, source.entries[p.entry + i].service, source.entries[p.entry + i].items)
    target.backend.queued_bytes -= p.size     # part_close adds it
    part_close(target, k)
    target.parts[k].request = p.request
    target.parts[k].rerouted = p.rerouted
    target.parts[k].late = p.late

# ------------------------------------------------------------------ Python

PartRow = namedtuple("PartRow", "body items services rerouted")

cdef object part_row(Core* core, const Batch* b, const Part* p):
    cdef bytearray body = bytearray(p.size)
    cdef uint32_t i
    part_copy(core, p, <uint8_t*><char*>body)
    services = tuple([(b.entries[i].service, b.entries[i].items) for i in range(p.entry, p.entry + p.entries)])
    return PartRow(bytes(body), p.items, services, p.rerouted != 0)

def unsent(WorkerCore core not None, uint32_t slot, uint32_t signal):
    """What gathers or waits for the backend of a slot, as a list of parts for each batch, oldest first; for tests."""
    cdef Backend* backend = core.c.backends
    cdef Batch* b
    cdef list batches = []
    while backend != NULL and backend.slot != slot:
        backend = backend.next
    if backend == NULL or signal >= SIGNAL_HEALTH:
        raise LookupError(f"no backend in slot {slot}, or no signal {signal}")
    b = backend.waiting.head
    while b != NULL:
        if b.signal == signal:
            batches.append([part_row(core.c, b, &b.parts[i]) for i in range(b.nparts)])
        b = b.next
    b = backend.pending[signal]
    if b != NULL and b.nparts:
        batches.append([part_row(core.c, b, &b.parts[i]) for i in range(b.nparts)])
    return batches
