"""WorkerCore: the state that the kernels of one worker share, and its page in shared memory.

Made first and handed to Tick, Outbox and Engine, which keep it alive.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset, strlen
from _atomic cimport store_release
from _hash cimport hash_bytes
from _ledger cimport INTERN_SLOTS, Ledger, PAGE_MAGIC, Page
from _pool cimport pool_drain
from _posix cimport monotonic_ns
from _work cimport Core, Output

cdef class WorkerCore:
    """One worker's shared state.

    page: a writable buffer of page_bytes() (a shared mapping, or any bytearray for a gateway of one process).
    budget: a writable buffer of 16 bytes: the gateway's used and permitted bytes; shared by all workers.
    """

    def __cinit__(self, page, budget):
        cdef uint8_t[::1] view = page
        cdef uint64_t[::1] words = memoryview(budget).cast("B").cast("Q")
        if view.shape[0] < <Py_ssize_t>sizeof(Page):
            raise ValueError(f"the page has {view.shape[0]} bytes, not {sizeof(Page)}")
        self.page = page
        self.budget = budget
        self.page_view = view
        self.budget_view = words
        self.c = <Core*>calloc(1, sizeof(Core))
        self.c.ledger = <Ledger*>calloc(1, sizeof(Ledger))
        self.c.output = <Output*>calloc(1, sizeof(Output))
        if self.c == NULL or self.c.ledger == NULL or self.c.output == NULL:
            raise MemoryError
        self.attach(<Page*>&view[0])
        self.c.pool.shared_used = &words[0]
        self.c.pool.shared_limit = &words[1]
        self.c.pool.taken_bytes = &self.c.ledger.page.taken_bytes
        self.c.pool.spare_limit_bytes = 64 << 20
        self.c.ready_tail = &self.c.ready
        self.c.now_ns = monotonic_ns()
        self.c.rng = <uint64_t>self.c.now_ns | 1

    cdef int attach(self, Page* page) except -1:
        """A page that is used for the first time is set up; names of an earlier worker keep their ids."""
        cdef Ledger* ledger = self.c.ledger
        cdef uint32_t i
        cdef uint64_t h
        ledger.page = page
        if page.magic == 0:
            page.page_bytes = sizeof(Page)
            memcpy(page.names[0], b"_other", 7)
            page.services = 1
            store_release(&page.magic, PAGE_MAGIC)
        elif page.magic != PAGE_MAGIC or page.page_bytes != sizeof(Page):
            raise ValueError("the page belongs to another version")
        for i in range(1, <uint32_t>page.services):
            h = hash_bytes(<uint8_t*>page.names[i], strlen(page.names[i]))
            ledger.hashes[i] = h
            h >>= 52
            while ledger.slots[h] != 0:
                h = (h + 1) & (INTERN_SLOTS - 1)
            ledger.slots[h] = <uint16_t>i
        return 0

    def configure(self, *, size_t message_limit_bytes, size_t batch_limit_bytes, uint32_t batch_limit_items,
                  double batch_wait_s, double pacing_s,
                  double max_wait_s, double margin_s, double queue_age_s, double soft_ratio, bint queued_ack, bint may_duplicate,
                  uint32_t max_streams, uint32_t max_connections, double max_age_s, double max_age_grace_s, double keepalive_s,
                  double keepalive_timeout_s, double stall_s, double retry_after_s,
                  size_t partial_limit_bytes=<size_t>-1, uint64_t items_limit=0):
        """Limits and habits; may be called again at a tick boundary."""
        cdef Core* c = self.c
        c.message_limit_bytes = message_limit_bytes
        c.partial_limit_bytes = partial_limit_bytes
        c.batch_limit_bytes = batch_limit_bytes
        c.batch_limit_items = batch_limit_items
        c.items_limit = items_limit
        c.batch_wait_ns = <int64_t>(batch_wait_s * 1e9)
        c.pacing_ns = <int64_t>(pacing_s * 1e9)
        c.max_wait_ns = <int64_t>(max_wait_s * 1e9)
        c.margin_ns = <int64_t>(margin_s * 1e9)
        c.queue_age_ns = <int64_t>(queue_age_s * 1e9)
        c.soft_ratio = soft_ratio
        c.queued_ack = queued_ack
        c.may_duplicate = may_duplicate
        c.max_streams = max_streams
        c.max_connections = max_connections
        c.max_age_ns = <int64_t>(max_age_s * 1e9)
        c.max_age_grace_ns = <int64_t>(max_age_grace_s * 1e9)
        c.keepalive_ns = <int64_t>(keepalive_s * 1e9)
        c.keepalive_timeout_ns = <int64_t>(keepalive_timeout_s * 1e9)
        c.stall_ns = <int64_t>(stall_s * 1e9)
        c.retry_after_ms = <uint32_t>(retry_after_s * 1000)

    def services(self, uint32_t first=0):
        """Names of the ledger's services from an id on, as the page shows them."""
        cdef Page* page = self.c.ledger.page
        return [(<bytes>page.names[i]).decode("utf-8", "replace") for i in range(first, <uint32_t>page.services)]

    def on_services(self, met):
        """Calls met(first, names) at the end of every scan that has met new services; they have the ids from `first` on.

        Those that are known already are left to the caller.
        """
        self.met = met
        self.told = self.c.ledger.page.services

    cdef int tell(self) except -1:
        cdef uint32_t first = <uint32_t>self.told
        self.told = self.c.ledger.page.services
        if self.met is not None:
            self.met(first, self.services(first))
        return 0

    def at(self, int64_t now_ns):
        """Sets the clock that the kernels go by, as the engine does at each turn; for tests."""
        self.c.now_ns = now_ns

    def begin_streams_at(self, int32_t number):
        """The id of the first call on connections to backends from now on: tests begin near the end of the ids."""
        self.c.first_stream = number

    def memory(self):
        """(buffers handed out, their bytes, spare bytes): a worker at rest has none handed out but its sessions'."""
        return self.c.pool.live_count, self.c.pool.live_bytes, self.c.pool.spare_bytes

    def booked(self):
        """Bytes of the gateway's budget that are in use by this worker; none at rest."""
        return <int64_t>self.c.ledger.page.taken_bytes - self.c.pool.slack_bytes

    def beat(self, uint64_t generation):
        """Writes the heartbeat and the generation of the policy in use into the page."""
        cdef Page* page = self.c.ledger.page
        page.generation = generation
        page.worker.live_buffers = self.c.pool.live_count
        page.worker.live_bytes = self.c.pool.live_bytes
        store_release(&page.heartbeat_ns, <uint64_t>monotonic_ns())

    def __dealloc__(self):
        if self.c != NULL:
            pool_drain(&self.c.pool)
            free(self.c.owners)
            free(self.c.ledger)
            free(self.c.output)
            free(self.c)
