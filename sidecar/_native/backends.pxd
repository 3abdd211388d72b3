"""The backends of a worker, for the engine."""
from libc.stdint cimport uint32_t
from _work cimport Backend, Core
from sidecar._native.core cimport WorkerCore

cdef Backend* find_backend(Core* core, uint32_t slot) noexcept nogil
cdef void set_backend_up(Core* core, Backend* backend, bint up) noexcept nogil

cdef class Backends:
    cdef WorkerCore owner
    cdef Core* core
