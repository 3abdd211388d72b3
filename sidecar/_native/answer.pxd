"""Answers to clients, for server sessions and the engine."""
from _work cimport Conn, Core, Request

cdef void answer_health(Conn* c, Request* r) noexcept nogil
cdef void server_reply(Core* core) noexcept nogil
