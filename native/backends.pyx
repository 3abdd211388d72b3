"""The backends of a worker and who of them owns what: added and removed as policies come and go."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset
from _ledger cimport BackendFigures, MAX_BACKENDS
from _tables cimport OWNER_NONE
from _work cimport Backend, Batch, Conn, Core, set_owner_up
from sidecar._native.batch cimport batch_free
from sidecar._native.client cimport free_headers, set_headers
from sidecar._native.fate cimport figures_of

cdef Backend* find_backend(Core* core, uint32_t slot) noexcept nogil:
    cdef Backend* backend = core.backends
    while backend != NULL:
        if backend.slot == slot:
            return backend
        backend = backend.next
    return NULL

cdef void set_backend_up(Core* core, Backend* backend, bint up) noexcept nogil:
    """Whether new parts may go to it: seen by the next assign."""
    backend.up = up
    figures_of(core, backend).up = up
    if backend.owner != OWNER_NONE:
        set_owner_up(core, backend.owner, up)

cdef bint at_rest(const Backend* backend) noexcept nogil:
    """Nothing is queued, called or parked for it."""
    return backend.queued_bytes == 0 and backend.called.head == NULL and backend.waiting.head == NULL

cdef class Backends:
    """The set of backends.  A slot names one for its whole life (and its row in the figures); owner numbers change with each
    policy.  Slots from the last row on share it: theirs are backends that are never connected.
    """

    def __cinit__(self, WorkerCore core):
        self.owner = core
        self.core = core.c

    def add(self, uint32_t slot, uint64_t key, list headers, *, bint gzip, uint32_t max_in_flight,
            size_t queue_limit_bytes, size_t message_limit_bytes):
        """A new backend; headers are the request headers in order, the third one is :path."""
        cdef Backend* backend
        cdef BackendFigures* figures
        if slot > 0xffff or find_backend(self.core, slot) != NULL:
            raise ValueError(f"slot {slot} is taken or out of range")
        backend = <Backend*>calloc(1, sizeof(Backend))
        if backend == NULL:
            raise MemoryError
        set_headers(backend, headers)
        backend.slot = <uint16_t>slot
        backend.owner = OWNER_NONE
        backend.gzip = gzip
        backend.max_in_flight = max_in_flight
        backend.queue_limit_bytes = queue_limit_bytes
        backend.message_limit_bytes = message_limit_bytes
        figures = figures_of(self.core, backend)
        if figures.key != key:
            memset(figures, 0, sizeof(BackendFigures))
            figures.key = key
        figures.up = 0
        backend.next = self.core.backends
        self.core.backends = backend

    def own(self, list slots):
        """The backends of the policy that applies from now on, by owner number; the others are leaving."""
        cdef Core* core = self.core
        cdef Backend* backend = core.backends
        cdef Backend** owners
        cdef uint32_t i
        if len(slots) > MAX_BACKENDS:
            raise ValueError(f"at most {MAX_BACKENDS} backends")
        owners = <Backend**>calloc(len(slots) + 1, sizeof(Backend*))
        if owners == NULL:
            raise MemoryError
        for i in range(<uint32_t>len(slots)):
            owners[i] = find_backend(core, slots[i])
            if owners[i] == NULL:
                free(owners)
                raise LookupError(f"no backend in slot {slots[i]}")
        while backend != NULL:
            backend.owner = OWNER_NONE
            backend.leaving = 1
            backend = backend.next
        free(core.owners)
        core.owners = owners
        core.nowners = <uint32_t>len(slots)
        memset(core.up, 0, sizeof(core.up))
        for i in range(core.nowners):
            owners[i].owner = <uint16_t>i
            owners[i].leaving = 0
            set_owner_up(core, i, owners[i].up)

    def rested(self):
        """Slots of leaving backends that have nothing left to do."""
        cdef Backend* backend = self.core.backends
        slots = []
        while backend != NULL:
            if backend.leaving and at_rest(backend):
                slots.append(backend.slot)
            backend = backend.next
        return slots

    def removable(self, uint32_t slot):
        """Whether it is leaving, at rest, and all its connections are closed."""
        cdef Backend* backend = find_backend(self.core, slot)
        cdef Conn* c = self.core.clients
        cdef Batch* b = self.core.failed.head
        while c != NULL:
            if c.backend == backend:
                return False
            c = c.next
        while b != NULL:
            if b.backend == backend:
                return False
            b = b.next
        return backend != NULL and backend.leaving and at_rest(backend)

    def remove(self, uint32_t slot):
        """Forgets a backend; it must be removable()."""
        cdef Backend** link = &self.core.backends
        cdef Backend* backend
        cdef uint32_t signal
        if not self.removable(slot):
            raise RuntimeError(f"backend {slot} is still in use")
        while link[0] != NULL and link[0].slot != slot:
            link = &link[0].next
        backend = link[0]
        for signal in range(4):
            if backend.pending[signal] != NULL:
                batch_free(self.core, backend.pending[signal])
        link[0] = backend.next
        memset(figures_of(self.core, backend), 0, sizeof(BackendFigures))
        free_headers(backend)
        free(backend)

    def set_up(self, uint32_t slot, bint up):
        cdef Backend* backend = find_backend(self.core, slot)
        if backend == NULL:
            raise LookupError(f"no backend in slot {slot}")
        set_backend_up(self.core, backend, up)

    def good_calls(self, uint32_t slot):
        """Calls that the backend has answered OK, since it was added."""
        cdef Backend* backend = find_backend(self.core, slot)
        if backend == NULL:
            raise LookupError(f"no backend in slot {slot}")
        return backend.good_calls

    def publish(self):
        """Writes what changes all the time into the page: queues, calls, latency."""
        cdef Backend* backend = self.core.backends
        cdef BackendFigures* figures
        while backend != NULL:
            figures = figures_of(self.core, backend)
            figures.queued_bytes = backend.queued_bytes
            figures.in_flight = backend.in_flight
            figures.latency_ns = backend.latency_ns
            backend = backend.next

    def queued_bytes(self):
        """Bytes that are waiting or under way, to all backends."""
        cdef Backend* backend = self.core.backends
        cdef size_t n = 0
        while backend != NULL:
            n += backend.queued_bytes
            backend = backend.next
        return n

    def any_up(self):
        cdef Backend* backend = self.core.backends
        while backend != NULL:
            if backend.up and not backend.leaving:
                return True
            backend = backend.next
        return False

    def other_up(self, uint32_t slot):
        """Whether any owner but this one can take parts."""
        cdef Backend* backend = self.core.backends
        while backend != NULL:
            if backend.up and not backend.leaving and backend.slot != slot:
                return True
            backend = backend.next
        return False
