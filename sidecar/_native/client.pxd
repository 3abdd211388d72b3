"""Client sessions, for the engine and the outbox."""
from libc.stdint cimport uint8_t
from _work cimport Backend, Batch, Conn

cdef bint client_open(Conn* c) noexcept nogil
cdef ssize_t client_feed(Conn* c, const uint8_t* data, size_t n) noexcept nogil
cdef void client_close(Conn* c) noexcept nogil
cdef void client_ping(Conn* c) noexcept nogil
cdef bint client_submit(Conn* c, Batch* b) noexcept nogil
cdef void client_cancel(Conn* c, Batch* b) noexcept nogil
cdef bint set_headers(Backend* backend, list headers) except False
cdef void free_headers(Backend* backend) noexcept nogil
