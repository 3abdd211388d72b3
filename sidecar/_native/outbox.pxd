"""The outbox, for split and the engine."""
from libc.stdint cimport uint32_t
from _work cimport Backend, Batch, Core
from sidecar._native.core cimport WorkerCore

cdef void settle(Core* core) noexcept nogil
cdef enum Round:
    ROUND_DUE = 0             # batches that wait and are due
    ROUND_LARGE = 1           # and pending ones that are large
    ROUND_ALL = 2             # and all pending ones

cdef bint dispatch(Core* core, Round which) noexcept nogil
cdef bint dispatch_turn(Core* core) noexcept nogil

cdef class Outbox:
    cdef WorkerCore owner
    cdef Core* core
    cdef Batch* current
    cdef Batch* taken(self) except NULL
    cdef Backend* find(self, uint32_t slot) except NULL
