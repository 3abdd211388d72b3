"""What becomes of parts, for the outbox."""
from libc.stdint cimport uint8_t, uint32_t
from _ledger cimport BACKEND_ROWS, BackendFigures
from _work cimport Backend, Batch, Core, Part

cdef enum Fate:
    FORWARDED = 0
    PASSING = 1               # not now: the client is told UNAVAILABLE
    REFUSED = 2               # never

cdef inline BackendFigures* figures_of(Core* core, const Backend* backend) noexcept nogil:
    return &core.ledger.page.backends[backend.slot if backend.slot < BACKEND_ROWS else BACKEND_ROWS - 1]

cdef void part_done(Core* core, Batch* b, Part* p, Fate fate, uint8_t status, const char* words, uint32_t retry_after_ms,
                    uint32_t drop_reason) noexcept nogil
cdef void batch_done(Core* core, Batch* b, Fate fate, uint8_t status, const char* words, uint32_t retry_after_ms,
                     uint32_t drop_reason) noexcept nogil
cdef void drop_gone(Core* core, Batch* b) noexcept nogil
cdef void hand_on(Core* core, Batch* b) noexcept nogil
cdef void reroute_batch(Core* core, Batch* b) noexcept nogil
cdef Batch* compacted(Core* core, Batch* b) noexcept nogil
