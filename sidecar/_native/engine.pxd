"""The engine."""
from libc.stdint cimport int64_t, uint8_t, uint32_t
from _posix cimport iovec
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
    cdef Conn* timer
    cdef uint8_t* buffer
    cdef int64_t rested_ns
    cdef list events_list
    cdef int nevents
    cdef Conn* new_conn(self, int fd, uint8_t kind) except NULL
    cdef void link(self, Conn** list, Conn* c) noexcept nogil
    cdef void unlink(self, Conn** list, Conn* c) noexcept nogil
    cdef void accept(self, Conn* listener) noexcept nogil
    cdef int64_t jittered(self, int64_t t) noexcept nogil
    cdef void pause_accepting(self) noexcept nogil
    cdef void event(self, uint32_t slot, int kind) noexcept with gil
    cdef void read_ready(self) noexcept nogil
    cdef void read_conn(self, Conn* c) noexcept nogil
    cdef void on_eof(self, Conn* c) noexcept nogil
    cdef void connected(self, Conn* c) noexcept nogil
    cdef void flush_dirty(self) noexcept nogil
    cdef bint send_all(self, Conn* c, iovec* iov, uint32_t* first, uint32_t n) noexcept nogil
    cdef void flush_conn(self, Conn* c) noexcept nogil
    cdef void want_output(self, Conn* c, bint want) noexcept nogil
    cdef uint32_t calls_of(self, Conn* c) noexcept nogil
    cdef void end_drained(self, Conn* c) noexcept nogil
    cdef void reap(self) noexcept nogil
    cdef void set_timer(self, int64_t period_ns) noexcept nogil
    cdef void arm(self, int64_t period_ns) noexcept nogil
    cdef void on_timer(self) noexcept nogil
    cdef void sweep_servers(self) noexcept nogil
    cdef void sweep_clients(self) noexcept nogil
