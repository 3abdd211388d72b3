"""The engine."""
from libc.stdint cimport int64_t, uint8_t, uint32_t
from _work cimport Conn, Core
from sidecar._native.core cimport WorkerCore
from sidecar._native.scan cimport Tick

cdef class Engine:
    cdef WorkerCore owner
    cdef Core* core
    cdef readonly Tick tick
    cdef int ep
    cdef bint fast
    cdef bint paused
    cdef Conn* listeners
    cdef Conn* timer          # sweeps
    cdef Conn* pacer          # the next round of small calls
    cdef bint pacing
    cdef uint8_t* buffer
    cdef int64_t rested_ns
    cdef list events_list
    cdef int nevents
    cdef void open_timer(self, Conn* timer) noexcept nogil
    cdef void accept(self, Conn* listener) noexcept nogil
    cdef void pause_accepting(self, bint pause) noexcept nogil
    cdef void event(self, uint32_t slot, int kind, int error) noexcept with gil
    cdef void read_ready(self) noexcept nogil
    cdef void read_conn(self, Conn* c) noexcept nogil
    cdef void on_eof(self, Conn* c) noexcept nogil
    cdef void connected(self, Conn* c) noexcept nogil
    cdef void reap(self) noexcept nogil
    cdef void pace(self) noexcept nogil
    cdef void set_timer(self, int64_t period_ns) noexcept nogil
    cdef void arm(self, int64_t period_ns) noexcept nogil
    cdef void on_timer(self) noexcept nogil
