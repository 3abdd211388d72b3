"""Deadlines: what time does to parts that are unsent or under way.

    unsent --its time is over--> ended (UNAVAILABLE, or dropped as expired)
           --half of its time is over, or its owner is down--> handed on to the next owners, once
    called --its time is over--> ended; a call that nobody waits for any more is cancelled
           --half of its time is over, may_duplicate_on_timeout--> handed on as well
"""
from libc.stdint cimport INT64_MAX, int64_t, uint32_t
from _ledger cimport DROP_EXPIRED
from _pool cimport budget_ratio
from _work cimport *
from sidecar._native.batch cimport root_of
from sidecar._native.client cimport client_cancel
from sidecar._native.fate cimport PASSING, compacted, drop_gone, hand_on, part_done, reroute_batch

cdef bint other_up(Core* core, Backend* backend) noexcept nogil:
    cdef uint32_t i
    for i in range(core.nowners):
        if core.owners[i] != backend and owner_up(core, i):
            return True
    return False

cdef uint32_t expire(Core* core, Batch* b) noexcept nogil:
    """Gives up the parts whose time is over; returns how many are still wanted."""
    cdef uint32_t i, live = 0
    cdef Part* p
    b.deadline_ns = INT64_MAX
    for i in range(b.nparts):
        p = &b.parts[i]
        if p.late:
            continue
        if p.deadline_ns <= core.now_ns:
            part_done(core, b, p, PASSING, GRPC_UNAVAILABLE, b"no backend answered in time", core.retry_after_ms,
                      DROP_EXPIRED)
        else:
            live += 1
            if p.deadline_ns < b.deadline_ns:
                b.deadline_ns = p.deadline_ns
    return live

cdef bint stuck(Core* core, Batch* b) noexcept nogil:
    """Unsent, and half of its time is over or its owner is down: the next owners may have it (once)."""
    if b.alone or b.parts[0].rerouted and b.backend.up:
        return False
    return not b.backend.up or core.now_ns - b.first_ns > (b.deadline_ns - b.first_ns) // 2

cdef bint any_gone(const Batch* b) noexcept nogil:
    """Whether nobody waits for a part any more, where somebody did."""
    cdef uint32_t i
    for i in range(b.nparts):
        if b.parts[i].request != NULL and root_of(b.parts[i].request).conn == NULL:
            return True
    return False

cdef void sweep_list(Core* core, Backend* backend, Batch* b, bint others) noexcept nogil:
    """One unsent batch, taken out of its list: kept, thinned out, handed on, or ended."""
    if b.deadline_ns <= core.now_ns:
        expire(core, b)
        b = compacted(core, b)
    elif budget_ratio(&core.pool) >= core.soft_ratio:
        drop_gone(core, b)
        b = compacted(core, b)
    if b == NULL:
        return
    if others and stuck(core, b):
        reroute_batch(core, b)
    else:
        b.state = BATCH_WAITING
        list_push(&backend.waiting, b)

cdef void sweep_backend(Core* core, Backend* backend) noexcept nogil:
    cdef Batch* b = backend.called.head
    cdef Batch* next
    cdef BatchList old
    cdef uint32_t signal
    cdef bint others = other_up(core, backend)
    cdef bint short_of = budget_ratio(&core.pool) >= core.soft_ratio
    while b != NULL:
        next = b.next
        if b.deadline_ns <= core.now_ns and expire(core, b) == 0 and b.conn != NULL:
            client_cancel(b.conn, b)
        elif core.may_duplicate and others and not b.parts[0].rerouted and b.deadline_ns != INT64_MAX and (
                core.now_ns - b.called_ns > (b.deadline_ns - b.called_ns) // 2):
            hand_on(core, b)
        b = next
    for signal in range(4):
        b = backend.pending[signal]
        if b != NULL and b.nparts and (b.deadline_ns <= core.now_ns or others and stuck(core, b) or short_of and any_gone(b)):
            backend.pending[signal] = NULL
            sweep_list(core, backend, b, others)
    old = backend.waiting
    backend.waiting.head = backend.waiting.tail = NULL
    b = list_pop(&old)
    while b != NULL:
        sweep_list(core, backend, b, others)
        b = list_pop(&old)

cdef void sweep(Core* core) noexcept nogil:
    """Ends budgets and hands stuck parts on; called every few tens of milliseconds while anything is under way."""
    cdef Backend* backend = core.backends
    while backend != NULL:
        sweep_backend(core, backend)
        backend = backend.next

cdef bint under_way(Core* core) noexcept nogil:
    cdef Backend* backend = core.backends
    while backend != NULL:
        if backend.queued_bytes or backend.called.head != NULL:
            return True
        backend = backend.next
    return core.failed.head != NULL

cdef double time_left(Core* core, Batch* b) noexcept nogil:
    """Seconds until the first part that somebody still waits for must be answered; negative when nobody does."""
    cdef int64_t first = INT64_MAX
    cdef uint32_t i
    for i in range(b.nparts):
        if not b.parts[i].late and b.parts[i].deadline_ns < first:
            first = b.parts[i].deadline_ns
    return (first - core.now_ns) / 1e9 if first != INT64_MAX else -1.0
