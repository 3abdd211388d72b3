"""The reader's side of a worker's page: consistent copies at any instant, and the books of a crashed worker."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy
from _atomic cimport add_fetch, fence_acquire, load_acquire
from _ledger cimport (BackendFigures, DROP_REASONS, DROP_WORKER_CRASH, DURATION_BUCKETS, MAX_BACKENDS, NAME_BYTES, OUTCOMES,
                      PAGE_MAGIC, Page, Row, SERVICES, SIGNALS, SIZE_BUCKETS, SignalFigures)

DROPPED = ("client_gone", "backend_refused", "backend_partial", "expired", "shutdown", "worker_crash")
ANSWERED = ("ok", "partial", "unavailable", "invalid_argument", "resource_exhausted", "unimplemented", "other", "client_gone")

def page_bytes():
    """The size of a worker's page."""
    return sizeof(Page)

cdef bint copy_row(const Row* row, Row* into) noexcept nogil:
    """A copy during which nothing was written; False when the writer was always in between."""
    cdef uint64_t seq
    cdef int i
    for i in range(10000):
        seq = load_acquire(&row.seq)
        if seq & 1:
            continue
        memcpy(into, row, sizeof(Row))
        fence_acquire()
        if load_acquire(&row.seq) == seq:
            return True
    return False

cdef class PageReader:
    """One worker's page.  page: a readable buffer of page_bytes(); writable for bury()."""
    cdef object owner
    cdef uint8_t[::1] view
    cdef Page* page

    def __cinit__(self, page):
        self.owner = page
        self.view = page
        if self.view.shape[0] < <Py_ssize_t>sizeof(Page):
            raise ValueError(f"the page has {self.view.shape[0]} bytes, not {sizeof(Page)}")
        self.page = <Page*>&self.view[0]

    def rows(self):
        """[(signal, service, received, in flight, forwarded, sampled out, rejected, requests, (dropped by reason ...))] of all
        that has been used; each row adds up."""
        cdef list out = []
        cdef Row row
        cdef uint32_t signal, service
        cdef uint64_t services = load_acquire(&self.page.services)
        if load_acquire(&self.page.magic) != PAGE_MAGIC:
            return out
        for signal in range(SIGNALS):
            for service in range(<uint32_t>services):
                if self.page.rows[signal * SERVICES + service].received == 0:
                    continue
                if not copy_row(&self.page.rows[signal * SERVICES + service], &row):
                    raise RuntimeError("a row of the ledger is locked: its writer was stopped in the middle")
                out.append((signal, (<bytes>self.page.names[service]).decode("utf-8", "replace"), row.received,
                            row.in_flight, row.forwarded, row.sampled_out, row.rejected, row.requests,
                            tuple([row.dropped[i] for i in range(len(DROPPED))])))
        return out

    def signals(self):
        """For each signal: (requests, body bytes, (answered ...), duration sum in ns, (durations below 2^k us ...),
        batches, items in them, (batches of fewer than 2^k items ...))."""
        cdef list out = []
        cdef SignalFigures* f
        cdef uint32_t signal
        for signal in range(SIGNALS):
            f = &self.page.signals[signal]
            out.append((f.requests, f.body_bytes, tuple([f.outcomes[i] for i in range(OUTCOMES)]), f.duration_sum_ns,
                        tuple([f.duration[i] for i in range(DURATION_BUCKETS)]), f.batches, f.batch_items,
                        tuple([f.batch_size[i] for i in range(SIZE_BUCKETS)])))
        return out

    def backends(self):
        """{key: BackendFigures as a dict}."""
        cdef dict out = {}
        cdef BackendFigures* f
        cdef uint32_t i
        for i in range(MAX_BACKENDS):
            f = &self.page.backends[i]
            if f.key:
                out[f.key] = {
                    "up": bool(f.up), "connects": f.connects, "calls": f.calls, "failed_calls": f.failed_calls,
                    "items": tuple([f.items[k] for k in range(SIGNALS)]),
                    "failed_items": tuple([f.failed_items[k] for k in range(SIGNALS)]),
                    "rejected_items": f.rejected_items, "sent_bytes": f.sent_bytes, "retried": f.retried,
                    "rerouted": f.rerouted, "queued_bytes": f.queued_bytes, "in_flight": f.in_flight,
                    "latency_ns": f.latency_ns, "latency": tuple([f.latency[k] for k in range(DURATION_BUCKETS)])}
        return out

    def worker(self):
        """The worker's own figures as a dict: WorkerFigures, heartbeat_ns, generation."""
        cdef Page* p = self.page
        return {
            "heartbeat_ns": load_acquire(&p.heartbeat_ns), "generation": p.generation, "taken_bytes": p.taken_bytes,
            "turns": p.worker.turns, "connections": p.worker.connections, "accepted": p.worker.accepted,
            "accept_errors": p.worker.accept_errors, "protocol_errors": p.worker.protocol_errors,
            "trace_id_missing": p.worker.trace_id_missing, "old_field": p.worker.old_field,
            "tracestate_bad": p.worker.tracestate_bad, "forwarded_late": p.worker.forwarded_late,
            "live_buffers": p.worker.live_buffers, "live_bytes": p.worker.live_bytes}

    def bury(self):
        """Closes the books of a worker that is dead: what it had in flight is dropped as `worker_crash`, its bytes of
        the budget are returned; the number of items and of bytes.  A row that was cut off in the middle of a change
        counts the items of that change as in flight.  The caller is the only writer now.
        """
        cdef Row* row
        cdef uint64_t lost = 0, gone, taken
        cdef uint32_t i, k
        for i in range(SIGNALS * SERVICES):
            row = &self.page.rows[i]
            gone = row.received - row.forwarded - row.sampled_out - row.rejected
            for k in range(DROP_REASONS):
                gone -= row.dropped[k]
            if gone or row.in_flight or row.seq & 1:
                row.dropped[DROP_WORKER_CRASH] += gone
                row.in_flight = 0
                row.seq += row.seq & 1
                lost += gone
        for i in range(MAX_BACKENDS):
            self.page.backends[i].up = 0
            self.page.backends[i].in_flight = self.page.backends[i].queued_bytes = 0
        taken = self.page.taken_bytes
        self.page.taken_bytes = 0
        self.page.worker.connections = 0
        return lost, taken

    @staticmethod
    def give_back(budget, uint64_t taken):
        """Returns bytes to the gateway's budget (see WorkerCore)."""
        cdef uint64_t[::1] words = memoryview(budget).cast("B").cast("Q")
        add_fetch(&words[0], -<int64_t>taken)
