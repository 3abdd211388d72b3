"""Server sessions, for the engine."""
from libc.stdint cimport uint8_t
from _work cimport Conn, Core

cdef bint server_open(Conn* c) noexcept nogil
cdef ssize_t server_feed(Conn* c, const uint8_t* data, size_t n) noexcept nogil
cdef void server_close(Conn* c) noexcept nogil
cdef void server_drain(Conn* c) noexcept nogil
cdef void server_eof(Conn* c) noexcept nogil
cdef void server_relieve(Core* core) noexcept nogil
