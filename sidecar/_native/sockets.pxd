"""Sockets of connections, for the engine."""
from libc.stdint cimport uint8_t, uint32_t
from _work cimport Conn, Core

cdef Conn* conn_new(Core* core, int fd, uint8_t kind) noexcept nogil
cdef void watch(int ep, int op, Conn* c, uint32_t events) noexcept nogil
cdef void set_no_delay(int fd) noexcept nogil
cdef uint32_t calls_of(const Conn* c) noexcept nogil
cdef void flush_dirty(Core* core, int ep) noexcept nogil
