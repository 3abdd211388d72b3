"""Deadlines, for the outbox and the engine."""
from libc.stdint cimport uint32_t
from _work cimport Batch, Core

cdef uint32_t expire(Core* core, Batch* b) noexcept nogil
cdef double time_left(Core* core, Batch* b) noexcept nogil
cdef void sweep(Core* core) noexcept nogil
cdef bint under_way(Core* core) noexcept nogil
