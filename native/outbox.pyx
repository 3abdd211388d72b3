"""The outbox: batches become calls, answers settle their parts.

                 +--------- dispatch: a call is free ---------+
    split -> PENDING --full--> WAITING --due--> CALLED -> ANSWERED --ok--> parts forwarded
                                  ^                          |
                                  +--- retry(delay) ---------+--not ok--> Outbox.failure(): retry, reroute,
                                                                          scatter, refuse or accept

Batching is natural: what is pending leaves at the end of the turn while fewer than `max_in_flight` calls are open, and
gathers while they are.  A good answer is settled here, natively; a bad one is rare and is decided in Python
(sidecar.deliver), which calls the verbs below on the batch at the head of Core.failed.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from _ledger cimport (BackendFigures, DROP_BACKEND_PARTIAL, DROP_BACKEND_REFUSED, DROP_EXPIRED, DROP_SHUTDOWN, DURATION_BUCKETS,
                      SIZE_BUCKETS, SignalFigures, book_dropped, book_rejected, bucket_of)
from _outcome cimport set_note
from _work cimport *
from sidecar._native.batch cimport batch_new, batch_release, clear_answer, part_move, root_of
from sidecar._native.client cimport client_submit
from sidecar._native.deadlines cimport expire, time_left
from sidecar._native.fate cimport (FORWARDED, PASSING, REFUSED, batch_done, compacted, figures_of, part_done,
                                   reroute_batch)
from sidecar._native.gzip cimport deflate_batch, inflate_answer

cdef enum:
    OVERTIME_CALLS = 16       # beyond max_in_flight, for batches that have gathered long at a backend that answers
    PACED_BYTES = 64 << 10    # a call of this size is not held back for pacing: it gains nothing

# ------------------------------------------------------------------ answers

cdef bint plain_ok(const Batch* b) noexcept nogil:
    """OK and nothing to read in it: an empty message."""
    cdef size_t i
    if b.status != GRPC_OK or b.conn_lost or b.h2_error != 0 or b.answer_len > GRPC_PREFIX:
        return False
    for i in range(b.answer_len):
        if b.answer[i] != 0:
            return False
    return True

cdef void settle(Core* core) noexcept nogil:
    """Settles the good answers; the others go to Core.failed."""
    cdef Batch* b = list_pop(&core.answered)
    cdef Backend* backend
    cdef BackendFigures* figures
    cdef int64_t took
    while b != NULL:
        backend = b.backend
        figures = figures_of(core, backend)
        took = core.now_ns - b.called_ns
        if b.answer_len > GRPC_PREFIX and b.answer[0] == 1:
            inflate_answer(core, b)
        if plain_ok(b):
            backend.good_calls += 1
            backend.latency_ns += (took - backend.latency_ns) // 8
            figures.latency[bucket_of(took // 1000, DURATION_BUCKETS)] += 1
            figures.items[b.signal] += b.items
            figures.sent_bytes += b.out_len
            batch_done(core, b, FORWARDED, GRPC_OK, NULL, 0, 0)
        else:
            if b.status != GRPC_OK:
                figures.failed_calls += 1
            list_push(&core.failed, b)
        b = list_pop(&core.answered)

# ------------------------------------------------------------------ calls

cdef inline bint can_call(Core* core, Backend* backend, const Batch* b) noexcept nogil:
    """Whether a call may start: below max_in_flight, or beyond it for a batch that has gathered for too long."""
    cdef Conn* c = backend.conn
    cdef uint32_t limit = backend.max_in_flight
    if c != NULL and core.now_ns - b.first_ns > core.batch_wait_ns and core.now_ns - c.heard_ns < core.batch_wait_ns:
        limit += OVERTIME_CALLS
    return (c != NULL and c.settled and not c.dead and not c.draining and backend.in_flight < limit
            and backend.in_flight < c.max_streams and backend.paused_until_ns <= core.now_ns)

cdef bint call(Core* core, Backend* backend, Batch* b) noexcept nogil:
    cdef SignalFigures* figures
    cdef BackendFigures* to
    if backend.gzip and b.gzip_head == NULL:
        deflate_batch(core, b)
    if not client_submit(backend.conn, b):
        return False
    to = figures_of(core, backend)
    to.calls += 1
    if b.tries == 1:
        figures = &core.ledger.page.signals[b.signal]
        figures.batches += 1
        figures.batch_items += b.items
        figures.batch_size[bucket_of(b.items, SIZE_BUCKETS)] += 1
    else:
        to.retried += b.nparts
    return True

cdef bint dispatch_one(Core* core, Backend* backend, Round which) noexcept nogil:
    cdef Batch* b = backend.waiting.head
    cdef Batch* next
    cdef uint32_t signal
    cdef bint held = False
    while b != NULL and can_call(core, backend, b):
        next = b.next
        if b.due_ns <= core.now_ns and (b.conn == NULL or b.conn == backend.conn):
            list_remove(&backend.waiting, b)
            if not call(core, backend, b):
                list_push(&backend.waiting, b)
                return False
        b = next
    if which == ROUND_DUE:
        return False
    for signal in range(4):
        b = backend.pending[signal]
        if b == NULL or b.nparts == 0 or not can_call(core, backend, b):
            continue
        if which == ROUND_LARGE and b.len < PACED_BYTES:
            held = True
        elif call(core, backend, b):
            backend.pending[signal] = NULL
    return held

cdef bint dispatch(Core* core, Round which) noexcept nogil:
    """Starts what may start: batches that are due, and what is pending; whether pacing holds some of that back."""
    cdef Backend* backend = core.backends
    cdef bint held = False
    while backend != NULL:
        if backend.waiting.head != NULL or which != ROUND_DUE:
            held |= dispatch_one(core, backend, which)
        backend = backend.next
    return held

cdef bint dispatch_turn(Core* core) noexcept nogil:
    """The end of a turn: a round of all, or of large ones while the last round is less than the pacing ago.

    So a call waits only while turns come faster than the pacing, and answers to clients never do.
    """
    if core.pacing_ns == 0 or core.now_ns - core.dispatched_ns >= core.pacing_ns:
        core.dispatched_ns = core.now_ns
        dispatch(core, ROUND_ALL)
        return False
    return dispatch(core, ROUND_LARGE)

# ------------------------------------------------------------------ the verbs

cdef class Outbox:
    """What sidecar.deliver sees of the outbox.  The verbs act on the batch of the last `failure()`, and end it."""

    def __cinit__(self, WorkerCore core):
        self.owner = core
        self.core = core.c

    cdef Batch* taken(self) except NULL:
        if self.current == NULL:
            raise LookupError("no failed batch: call failure() first")
        cdef Batch* b = self.current
        self.current = NULL
        return b

    def failure(self):
        """The next failed call as (backend slot, status, http status, h2 error, connection lost, unprocessed, parts,
        items, tries, rerouted, message, details, answer, age in seconds, client's time left in seconds), or None."""
        cdef Batch* b
        if self.current == NULL:
            self.current = list_pop(&self.core.failed)
        b = self.current
        if b == NULL:
            return None
        if b.status != GRPC_OK and b.deadline_ns <= self.core.now_ns:
            expire(self.core, b)      # so that what is left of it is still wanted, or nothing is
        return (b.backend.slot, b.status, b.http_status, b.h2_error, bool(b.conn_lost), bool(b.unprocessed), b.nparts,
                b.items, b.tries, bool(b.parts[0].rerouted), (<bytes>b.message if b.message != NULL else b""),
                (<bytes>b.details[:b.details_len] if b.details != NULL else b""),
                (<bytes>b.answer[:b.answer_len] if b.answer != NULL else b""),
                (self.core.now_ns - b.called_ns) / 1e9, time_left(self.core, b))

    def accept(self, bytes words=b""):
        """The backend has all of it.  What else it said is passed on to the client of a batch of one part."""
        cdef Batch* b = self.taken()
        cdef Part* p = &b.parts[0]
        cdef BackendFigures* figures = figures_of(self.core, b.backend)
        figures.items[b.signal] += b.items
        figures.sent_bytes += b.out_len
        if words and b.nparts == 1 and p.request != NULL:
            set_note(p.request, words)
        batch_done(self.core, b, FORWARDED, GRPC_OK, NULL, 0, 0)

    def accept_partly(self, uint32_t rejected, bytes words):
        """A backend took all but `rejected` items.  A batch of one part passes that on to the client; of a merged
        one nobody can tell whose they were: they are booked as dropped, spread over the parts in their order."""
        cdef Batch* b = self.taken()
        cdef Core* core = self.core
        cdef BackendFigures* figures = figures_of(core, b.backend)
        cdef uint32_t left = rejected if rejected < b.items else b.items
        cdef uint32_t i, k, n
        cdef Part* p
        cdef bint told
        figures.rejected_items += left
        figures.items[b.signal] += b.items - left
        figures.sent_bytes += b.out_len
        for i in range(b.nparts):
            p = &b.parts[i]
            if p.late:
                continue
            told = b.nparts == 1 and p.request != NULL and root_of(p.request).conn != NULL
            for k in range(p.entry, p.entry + p.entries):
                n = b.entries[k].items if b.entries[k].items < left else left
                left -= n
                if n == 0:
                    break
                b.entries[k].items -= n
                p.items -= n
                if told:
                    book_rejected(core.ledger, b.signal, b.entries[k].service, n)
                    p.request.refused_items += n
                    set_note(p.request, words)
                else:
                    book_dropped(core.ledger, b.signal, b.entries[k].service, n, DROP_BACKEND_PARTIAL)
        batch_done(core, b, FORWARDED, GRPC_OK, NULL, 0, 0)

    def forget(self):
        """Nobody waits for any part of it any more: told and booked they are already."""
        batch_done(self.core, self.taken(), PASSING, GRPC_UNAVAILABLE, NULL, 0, DROP_EXPIRED)

    def retry(self, double delay_s):
        """The same owner again after delay_s; parts that cannot wait that long end as UNAVAILABLE."""
        cdef Batch* b = self.taken()
        cdef Core* core = self.core
        cdef Part* p
        cdef uint32_t i
        cdef int64_t due = core.now_ns + <int64_t>(delay_s * 1e9)
        for i in range(b.nparts):
            p = &b.parts[i]
            if not p.late and p.deadline_ns <= due:
                part_done(core, b, p, PASSING, GRPC_UNAVAILABLE, b"the backend asked to come back later",
                          core.retry_after_ms, DROP_EXPIRED)
        b.due_ns = due
        b = compacted(core, b)
        if b != NULL:
            clear_answer(core, b)
            b.state = BATCH_WAITING
            list_push(&b.backend.waiting, b)

    def reroute(self):
        """Every part goes to the next owners of its traces."""
        reroute_batch(self.core, self.taken())

    def scatter(self):
        """Every part again, alone: only the one that is refused alone is lost."""
        cdef Batch* b = self.taken()
        cdef Core* core = self.core
        cdef Batch* one
        cdef uint32_t i
        for i in range(b.nparts):
            if b.parts[i].late:
                b.backend.queued_bytes -= b.parts[i].size
                continue
            one = batch_new(core, b.backend, b.signal)
            part_move(core, b, i, one)
            one.alone = 1
            one.tries = b.tries
            one.first_ns = b.first_ns
            one.state = BATCH_WAITING
            list_push(&b.backend.waiting, one)
        batch_release(core, b)

    def refuse(self, uint8_t status, bytes words):
        """Nobody will ever take it: told to clients that still wait, dropped otherwise."""
        batch_done(self.core, self.taken(), REFUSED, status, words, 0, DROP_BACKEND_REFUSED)

    def give_up(self, uint32_t retry_after_ms, bytes words):
        """Not now: UNAVAILABLE with RetryInfo to clients that wait, dropped otherwise."""
        batch_done(self.core, self.taken(), PASSING, GRPC_UNAVAILABLE, words, retry_after_ms, DROP_EXPIRED)

    def pause(self, uint32_t slot, double delay_s):
        """RetryInfo of a backend: no call to it for delay_s."""
        cdef Backend* backend = self.find(slot)
        backend.paused_until_ns = self.core.now_ns + <int64_t>(delay_s * 1e9)

    def unmerge(self, uint32_t slot, double for_s):
        """Parts to this backend travel alone for a while."""
        cdef Backend* backend = self.find(slot)
        backend.unmerged_until_ns = self.core.now_ns + <int64_t>(for_s * 1e9)

    cdef Backend* find(self, uint32_t slot) except NULL:
        cdef Backend* backend = self.core.backends
        while backend != NULL:
            if backend.slot == slot:
                return backend
            backend = backend.next
        raise LookupError(f"no backend in slot {slot}")

    def abandon(self):
        """The drain ran out of time: everything still here is dropped as `shutdown`; returns how many items."""
        cdef Core* core = self.core
        cdef Backend* backend = core.backends
        cdef Batch* b
        cdef uint64_t items = 0
        cdef uint32_t signal
        while backend != NULL:
            for signal in range(4):
                if backend.pending[signal] != NULL:
                    items += backend.pending[signal].items
                    batch_done(core, backend.pending[signal], PASSING, 0, b"the gateway is shutting down", core.retry_after_ms, DROP_SHUTDOWN)
                    backend.pending[signal] = NULL
            b = list_pop(&backend.waiting)
            while b != NULL:
                items += b.items
                batch_done(core, b, PASSING, 0, b"the gateway is shutting down", core.retry_after_ms, DROP_SHUTDOWN)
                b = list_pop(&backend.waiting)
            backend = backend.next
        return items
