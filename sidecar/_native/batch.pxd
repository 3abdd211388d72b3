"""Batches and parts, for split and the outbox."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from _work cimport Backend, Batch, Conn, Core, Part, Request

cdef Batch* batch_new(Core* core, Backend* backend, uint8_t signal) noexcept nogil
cdef void batch_free(Core* core, Batch* b) noexcept nogil
cdef void batch_release(Core* core, Batch* b) noexcept nogil
cdef void release_parked(Conn* c) noexcept nogil
cdef void clear_answer(Core* core, Batch* b) noexcept nogil
cdef uint8_t* reserve(Core* core, Batch* b, size_t n) noexcept nogil
cdef Batch* pending_for(Core* core, Backend* backend, uint8_t signal, size_t n) noexcept nogil
cdef uint32_t part_open(Core* core, Batch* b, Request* r, int64_t deadline_ns) noexcept nogil
cdef void part_count(Core* core, Batch* b, uint32_t part, uint16_t service, uint32_t items) noexcept nogil
cdef void part_close(Batch* b, uint32_t part) noexcept nogil
cdef void part_copy(Core* core, const Part* p, uint8_t* w) noexcept nogil
cdef void part_move(Core* core, Batch* source, uint32_t part, Batch* target) noexcept nogil
cdef Request* root_of(Request* r) noexcept nogil
