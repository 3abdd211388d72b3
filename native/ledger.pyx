"""The reader's side of a worker's page: consistent copies at any instant, and the books of a crashed worker."""
from collections import namedtuple

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy
from _atomic cimport add_fetch, fence_acquire, load_acquire
from _ledger cimport (ARRIVED as N_ARRIVED, BackendFigures, CAUSES as N_CAUSES, DROP_REASONS, DROP_WORKER_CRASH, DURATION_BUCKETS,
                      BACKEND_ROWS, OUTCOMES, PAGE_MAGIC, Page, Row, SERVICES, SIGNALS, SIZE_BUCKETS, ServiceFigures,
                      SignalFigures, row_sampled_out)

cdef extern from "sched.h" nogil:
    int sched_yield()

ARRIVED = N_ARRIVED
SAMPLED_OUT = ("rate", "limit", "shed", "upstream")
DROPPED = ("client_gone", "backend_refused", "backend_partial", "expired", "shutdown", "worker_crash")
ANSWERED = ("ok", "partial", "unavailable", "invalid_argument", "resource_exhausted", "unimplemented", "other", "client_gone")

LedgerRow = namedtuple("LedgerRow", "signal service received in_flight forwarded sampled_out rejected requests dropped"
                       " causes", defaults=((0,) * len(SAMPLED_OUT),))
ServiceRow = namedtuple("ServiceRow", "service received errors kept kept_bytes arrived")
SignalRow = namedtuple("SignalRow", "requests answered answered_bytes duration_sum_ns duration batches batch_items batch_size")
BackendRow = namedtuple("BackendRow", "key up connects calls failed_calls items failed_items rejected_items sent_bytes retried"
                        " rerouted queued_bytes in_flight latency_ns latency")
WorkerRow = namedtuple("WorkerRow", "heartbeat_ns generation taken_bytes turns connections accepted accept_errors"
                       " protocol_errors trace_id_missing old_field tracestate_bad forwarded_late live_buffers live_bytes"
                       " detoured over_limit fell_back split_by_rules", defaults=(0, 0, 0))

def page_bytes():
    """The size of a worker's page."""
    return sizeof(Page)

cdef void copy_row(const Row* row, Row* into) noexcept nogil:
    """A copy during which nothing was written.  Where the writer was stopped in the middle of a change, what that has
    not booked yet counts as in flight, as bury() will have it."""
    cdef uint64_t seq
    cdef int i
    for i in range(2000):
        seq = load_acquire(&row.seq)
        if seq & 1 == 0:
            memcpy(into, row, sizeof(Row))
            fence_acquire()
            if load_acquire(&row.seq) == seq:
                return
        if i >= 1000:
            sched_yield()
    memcpy(into, row, sizeof(Row))
    into.in_flight = unaccounted(into)

cdef uint64_t unaccounted(const Row* row) noexcept nogil:
    """What came in and has not ended in any way."""
    cdef uint64_t n = row.received - row.forwarded - row_sampled_out(row) - row.rejected
    cdef int k
    for k in range(DROP_REASONS):
        n -= row.dropped[k]
    return n

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
        """The rows that have been used; each adds up."""
        cdef list out = []
        cdef Row row
        cdef int signal, service
        cdef uint64_t services = load_acquire(&self.page.services)
        if load_acquire(&self.page.magic) != PAGE_MAGIC:
            return out
        for signal in range(SIGNALS):
            for service in range(<int>services):
                if self.page.rows[signal * SERVICES + service].received == 0:
                    continue
                copy_row(&self.page.rows[signal * SERVICES + service], &row)
                out.append(LedgerRow(signal, (<bytes>self.page.names[service]).decode("utf-8", "replace"), row.received,
                                     row.in_flight, row.forwarded, row_sampled_out(&row), row.rejected, row.requests,
                                     tuple([row.dropped[i] for i in range(DROP_REASONS)]),
                                     tuple([row.sampled_out[i] for i in range(N_CAUSES)])))
        return out

    def spans(self):
        """What came of the spans of each service that has had any, as sampling saw them."""
        cdef list out = []
        cdef ServiceFigures* f
        cdef uint64_t received
        cdef int service
        if load_acquire(&self.page.magic) != PAGE_MAGIC:
            return out
        for service in range(<int>load_acquire(&self.page.services)):
            f = &self.page.spans[service]
            received = self.page.rows[service].received       # of the first signal
            if received:
                out.append(ServiceRow((<bytes>self.page.names[service]).decode("utf-8", "replace"), received, f.errors,
                                      f.kept, f.kept_bytes, tuple([f.arrived[i] for i in range(N_ARRIVED)])))
        return out

    def signals(self):
        """The figures of each signal."""
        cdef list out = []
        cdef SignalFigures* f
        cdef int signal
        for signal in range(SIGNALS):
            f = &self.page.signals[signal]
            out.append(SignalRow(f.requests, tuple([f.outcomes[i] for i in range(OUTCOMES)]),
                                 tuple([f.outcome_bytes[i] for i in range(OUTCOMES)]), f.duration_sum_ns, tuple([f.duration[i] for i in range(DURATION_BUCKETS)]), f.batches,
                                 f.batch_items, tuple([f.batch_size[i] for i in range(SIZE_BUCKETS)])))
        return out

    def backends(self):
        """The backends that have a row; those of one key are one backend, before and after a change."""
        cdef list out = []
        cdef BackendFigures* f
        cdef int i
        for i in range(BACKEND_ROWS):
            f = &self.page.backends[i]
            if f.key:
                out.append(BackendRow(
                    f.key, f.up != 0, f.connects, f.calls, f.failed_calls, tuple([f.items[k] for k in range(SIGNALS)]),
                    tuple([f.failed_items[k] for k in range(SIGNALS)]), f.rejected_items, f.sent_bytes, f.retried,
                    f.rerouted, f.queued_bytes, f.in_flight, f.latency_ns,
                    tuple([f.latency[k] for k in range(DURATION_BUCKETS)])))
        return out

    def worker(self):
        """The worker's own figures."""
        cdef Page* p = self.page
        return WorkerRow(
            load_acquire(&p.heartbeat_ns), p.generation, p.taken_bytes, p.worker.turns, p.worker.connections,
            p.worker.accepted, p.worker.accept_errors, p.worker.protocol_errors, p.worker.trace_id_missing,
            p.worker.old_field, p.worker.tracestate_bad, p.worker.forwarded_late, p.worker.live_buffers,
            p.worker.live_bytes, p.worker.detoured, p.worker.over_limit,
            p.worker.fell_back, p.worker.split_by_rules)

    def bury(self):
        """Closes the books of a worker that is dead: what it had in flight is dropped as `worker_crash`, its bytes of
        the budget are returned; the number of items and of bytes.  A row that was cut off in the middle of a change
        counts the items of that change as in flight.  The caller is the only writer now.
        """
        cdef Row* row
        cdef uint64_t lost = 0, gone, taken
        cdef int i
        for i in range(SIGNALS * SERVICES):
            row = &self.page.rows[i]
            gone = unaccounted(row)
            if gone or row.in_flight or row.seq & 1:
                row.dropped[DROP_WORKER_CRASH] += gone
                row.in_flight = 0
                row.seq += row.seq & 1
                lost += gone
        for i in range(BACKEND_ROWS):
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
