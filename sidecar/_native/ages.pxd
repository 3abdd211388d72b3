"""Connections over time, for the engine."""
from libc.stdint cimport int64_t
from _work cimport Core

cdef void sweep_servers(Core* core) noexcept nogil
cdef void sweep_clients(Core* core) noexcept nogil
cdef int64_t jittered(Core* core, int64_t t) noexcept nogil
