"""scan: takes requests that have arrived off the ready list and fills the tables of a tick with them.

A request that is not well formed is refused alone.
"""
from collections import namedtuple

from libc.stdint cimport UINT32_MAX, int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy
from _ledger cimport Page, Row, ledger_row, ledger_service, row_sampled_out
from _outcome cimport refuse, request_free, request_new, resolved, turn_away
from _pool cimport pool_get
from _prefix cimport read_prefix, write_prefix
from _tables cimport tables_free, tables_reset
from _walk cimport MALFORMED, NO_MEMORY, SCANNED, TOO_MANY, Verdict, scan_doc
from _work cimport (GRPC_INTERNAL, GRPC_INVALID_ARGUMENT, GRPC_PREFIX, GRPC_RESOURCE_EXHAUSTED, SIGNAL_HEALTH, Conn, Core,
                    ready_push)
from sidecar._native.gzip cimport inflate_body

cdef bint scan_body(Tables* t, Request* r, const uint8_t* body, uint32_t n) noexcept nogil:
    """Whether the message is well formed; it is a Doc of the tables then, and has left no trace otherwise."""
    return scan_doc(t, r, body, n) == SCANNED

cdef bint unwrap(Core* core, Request* r) noexcept nogil:
    """Whether the body is one gRPC message, inflated by now; the request has ended otherwise."""
    cdef int failed
    if r.len < GRPC_PREFIX or read_prefix(r.body) != r.len - GRPC_PREFIX:
        refuse(core, r, GRPC_INVALID_ARGUMENT, b"the body is not one gRPC message")
        return False
    if r.body[0] == 0:
        return True
    if r.body[0] != 1 or not r.gzip:
        refuse(core, r, GRPC_INTERNAL, b"the message is marked compressed, but there is no grpc-encoding")
        return False
    failed = inflate_body(core, r)
    if failed == 1:
        refuse(core, r, GRPC_INVALID_ARGUMENT, b"the message is not gzip")
    elif failed:
        refuse(core, r, GRPC_RESOURCE_EXHAUSTED, b"the message is larger than the limit when inflated")
    return failed == 0

cdef size_t scan_request(Tables* t, Core* core, Request* r) noexcept nogil:
    """Scans one request, or ends it; the bytes that it had."""
    cdef size_t size = r.len
    cdef Verdict v
    if not unwrap(core, r):
        return size
    size = r.len
    v = scan_doc(t, r, r.body + GRPC_PREFIX, <uint32_t>(size - GRPC_PREFIX))
    if v == MALFORMED:
        refuse(core, r, GRPC_INVALID_ARGUMENT, b"the message is not a well-formed Export request")
    elif v == TOO_MANY:
        refuse(core, r, GRPC_RESOURCE_EXHAUSTED, b"the message has more than 2097152 items, scopes or resources")
    elif v == NO_MEMORY:
        turn_away(core, r, core.retry_after_ms, b"out of memory")
    return size

cdef uint32_t scan_ready(Tables* t, size_t limit_bytes) noexcept nogil:
    """Starts the tables anew with requests of core.ready, until limit_bytes of bodies are in; the number of docs.

    A request whose client has left by now goes no further: nothing of it is in the books yet.
    """
    cdef Core* core = t.core
    cdef Request* r
    cdef size_t taken = 0
    tables_reset(t)
    while core.ready != NULL and taken < limit_bytes:
        r = core.ready
        core.ready = r.next
        if core.ready == NULL:
            core.ready_tail = &core.ready
        core.ready_bytes -= r.len
        r.queued = 0
        r.next = NULL
        if r.conn == NULL and r.parent == NULL and not r.judged:
            resolved(core, r)
        else:
            taken += scan_request(t, core, r)
    return t.ndocs

# ---- Python

ItemRow = namedtuple("ItemRow", "hash rand off content end state_off state_end edit units owner flags")
ResourceRow = namedtuple("ResourceRow", "off content end scope0 scopes frag0 frags frag_bytes item0 items service dropped"
                         " hash units flags")
ScopeRow = namedtuple("ScopeRow", "off end item0 items frag0 frags frag_bytes")
FragRow = namedtuple("FragRow", "off end")
EditRow = namedtuple("EditRow", "cut_off cut_end add_off add_size")
DocRow = namedtuple("DocRow", "request size resource0 resources item0 items frag0 frags kept edited dropped whole")
ReplyRow = namedtuple("ReplyRow", "request status retryable ok_items refused_items note")
LedgerRow = namedtuple("LedgerRow", "received in_flight forwarded sampled_out rejected")

cdef Conn CLIENT              # of requests that were made in Python: somebody who waits for the answer

cdef object reply_row(const Request* r):
    return ReplyRow(r.stream, r.status, r.retryable != 0, r.ok_items, r.refused_items,
                    "" if r.note == NULL else r.note.decode())

cdef class Tick:
    """The requests of one pass through the pipeline, and the tables that its stages fill."""

    def __cinit__(self, WorkerCore core not None):
        self.owner = core
        self.tables.core = core.c
        self.bodies = []

    def __dealloc__(self):
        cdef Request* r
        tables_free(&self.tables)
        while self.made != NULL:
            r = self.made
            self.made = r.conn_next
            request_free(self.owner.c, r)

    @staticmethod
    def of(int signal, bodies, WorkerCore core=None):
        """A tick whose ready list holds requests with these messages, numbered from 0, for tests and benchmarks."""
        cdef Tick tick
        if core is None:
            core = WorkerCore(bytearray(sizeof(Page)), bytearray(16))
            core.c.message_limit_bytes = 64 << 20
        tick = Tick(core)
        for body in bodies:
            ready_push(tick.owner.c, tick.make(signal, body, 0, False))
        return tick

    def push(self, int signal, const uint8_t[::1] framed, bint gzip=False):
        """Another request for the ready list, whose body is given as it came: with the gRPC prefix, or without one."""
        ready_push(self.owner.c, self.make(signal, framed, -1, gzip))

    def add(self, int signal, const uint8_t[::1] body):
        """Scans a message where it lies, as another document of this tick; whether it is well formed."""
        cdef Request* r = self.make(signal, body[:0], 0, False)
        self.bodies.append(body)
        return scan_body(&self.tables, r, &body[0] if body.shape[0] else <const uint8_t*>b"", <uint32_t>body.shape[0])

    cdef Request* make(self, int signal, const uint8_t[::1] body, int prefix, bint gzip) except NULL:
        """A request with a copy of the body, behind a prefix of its own unless that is -1."""
        cdef size_t n = body.shape[0], skip = 0 if prefix < 0 else GRPC_PREFIX
        cdef Request* r
        if not 0 <= signal < SIGNAL_HEALTH or n > UINT32_MAX - GRPC_PREFIX:
            raise ValueError("no such signal, or too long a body")
        r = request_new(self.owner.c)
        if r == NULL:
            raise MemoryError
        r.conn_next = self.made
        r.stream = self.made.stream + 1 if self.made != NULL else 0
        self.made = r
        r.conn = &CLIENT
        r.signal = <uint8_t>signal
        r.gzip = gzip
        r.len = n + skip
        r.body = <uint8_t*>pool_get(&self.owner.c.pool, r.len, &r.cap)
        if r.body == NULL:
            raise MemoryError
        if skip:
            write_prefix(r.body, prefix, n)
        if n:
            memcpy(r.body + skip, &body[0], n)
        return r

    def again(self):
        """Puts the documents' requests back on the ready list, as if they had just arrived; their bodies are still there."""
        cdef Tables* t = &self.tables
        for i in range(t.ndocs):
            t.docs[i].request.ok_items = t.docs[i].request.refused_items = 0
            ready_push(self.owner.c, t.docs[i].request)
        t.ndocs = 0

    def docs(self):
        cdef Tables* t = &self.tables
        return [
            DocRow(t.docs[i].request.stream, t.docs[i].size, t.docs[i].resource0, t.docs[i].resources, t.docs[i].item0,
                   t.docs[i].items, t.docs[i].frag0, t.docs[i].frags, t.docs[i].kept, t.docs[i].edited,
                   t.docs[i].dropped, t.docs[i].whole)
            for i in range(t.ndocs)
        ]

    def resources(self):
        return [ResourceRow(**self.tables.resources[i]) for i in range(self.tables.nresources)]

    def scopes(self):
        return [ScopeRow(**self.tables.scopes[i]) for i in range(self.tables.nscopes)]

    def items(self):
        return [ItemRow(**self.tables.items[i]) for i in range(self.tables.nitems)]

    def frags(self):
        return [FragRow(**self.tables.frags[i]) for i in range(self.tables.nfrags)]

    def edits(self):
        return [EditRow(**self.tables.edits[i]) for i in range(self.tables.nedits)]

    def arena(self):
        """The bytes that edits add."""
        return self.tables.arena[:self.tables.narena] if self.tables.narena else b""

    def replies(self):
        """Takes the requests that have ended so far, in the order in which they were made."""
        cdef Core* core = self.owner.c
        cdef Request* r = core.replies
        rows = []
        while r != NULL:
            rows.append(reply_row(r))
            r.queued = 0
            r = r.next
        core.replies = NULL
        return sorted(rows)

    def outcomes(self):
        """What has become of the documents' requests."""
        return [reply_row(self.tables.docs[i].request) for i in range(self.tables.ndocs)]

    cdef Request* find(self, int32_t number) except NULL:
        cdef Request* r = self.made
        while r != NULL and r.stream != number:
            r = r.conn_next
        if r == NULL:
            raise IndexError(number)
        return r

    def mark_judged(self, int32_t request):
        """Makes a request one that was sampled and booked before: a part on its way to another owner."""
        self.find(request).judged = 1

    def leave(self, int32_t request):
        """The client of a request has gone."""
        self.find(request).conn = NULL

    def clear(self):
        """Empties the tables."""
        tables_reset(&self.tables)
        self.bodies.clear()

    def service(self, uint32_t number):
        """The name that the ledger has for a number."""
        return self.owner.c.ledger.page.names[number]

    def row(self, uint32_t signal, bytes service):
        """A row of the ledger."""
        cdef Row* row = ledger_row(self.owner.c.ledger, signal, ledger_service(self.owner.c.ledger, service, len(service)))
        return LedgerRow(row.received, row.in_flight, row.forwarded, row_sampled_out(row), row.rejected)

    def figures(self):
        """(trace_id_missing, old_field, tracestate_bad) of the page."""
        cdef Page* page = self.owner.c.ledger.page
        return page.worker.trace_id_missing, page.worker.old_field, page.worker.tracestate_bad


def scan(Tick tick not None, size_t limit_bytes):
    """Scans what has arrived, up to limit_bytes of bodies and one more; the number of documents in the tables.

    Services that the ledger meets here are told to whoever has asked (WorkerCore.on_services), before anything is decided.
    """
    cdef uint32_t n
    with nogil:
        n = scan_ready(&tick.tables, limit_bytes)
    if tick.owner.told != tick.owner.c.ledger.page.services:
        tick.owner.tell()
    return n
