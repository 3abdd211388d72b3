"""The outbox, for split and the engine."""
from libc.stdint cimport uint32_t
from _work cimport Backend, Batch, Core
from sidecar._native.core cimport WorkerCore

cdef void settle(Core* core) noexcept nogil
cdef void dispatch(Core* core, bint pending) noexcept nogil
cdef void sweep(Core* core) noexcept nogil
cdef bint under_way(Core* core) noexcept nogil

cdef class Outbox:
    cdef WorkerCore owner
    cdef Core* core
    cdef Batch* current
    cdef Batch* taken(self) except NULL
    cdef Backend* find(self, uint32_t slot) except NULL
