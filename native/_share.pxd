"""Fair shares of what is scarce: who holds more than its share is refused first.

The share of a connection is the bound, divided by the connections that have requests open.  What it holds are the bytes
booked for its requests that are not answered yet, wherever they are by now.  Nobody is held to a share before memory or a queue
is nearly used up; from there on the rest is for connections under theirs, so that one that asks again at once after each
refusal cannot keep the others out.  (One step towards max-min fairness: Bertsekas, Gallager, "Data Networks", 6.5.2.)
"""
from _pool cimport budget_ratio
from _work cimport Backend, Conn, Core, Request

cdef inline void hold(Conn* c, Request* r, size_t n) noexcept nogil:
    """n more bytes count for the connection of r until it is answered."""
    r.held_bytes += n
    c.held_bytes += n

cdef inline void let_go(Conn* c, Request* r) noexcept nogil:
    """The request is answered, refused or forgotten."""
    c.held_bytes -= r.held_bytes
    r.held_bytes = 0

cdef inline bint over_share(const Core* core, const Conn* c, size_t limit) noexcept nogil:
    """Whether the connection holds more than its share of limit."""
    return c.held_bytes > limit // (core.nactive if core.nactive else 1)

cdef inline bint has_to_wait(const Conn* c) noexcept nogil:
    """Whether it gets no credit to send more: memory is short, and it is over its share."""
    return budget_ratio(&c.core.pool) >= c.core.soft_ratio and over_share(c.core, c, c.core.partial_limit_bytes)

cdef inline bint no_memory_for(const Conn* c) noexcept nogil:
    """Whether a new request must be turned away.  The soft mark is the bound of who is over its share; who is under may go
    beyond the memory, by half of it: all shares together."""
    cdef Core* core = c.core
    cdef double used = budget_ratio(&core.pool)
    if used < core.soft_ratio:
        return False
    return used >= 1.5 or over_share(core, c, core.partial_limit_bytes)

cdef inline Request* newest_over_share(Core* core, Request* r) noexcept nogil:
    """Of the incomplete requests the one to be put off so that r may go on: r, where its connection is over its share or
    none is.  The oldest is spared."""
    cdef Request* other = core.partials_tail
    if over_share(core, r.conn, core.partial_limit_bytes):
        return r
    while other != core.partials and not over_share(core, other.conn, core.partial_limit_bytes):
        other = other.partial_prev
    return other if other != core.partials else r

cdef inline bint no_room_at(const Core* core, const Backend* backend, const Conn* c, size_t n) noexcept nogil:
    """Whether n more bytes do not fit into the queue of a backend; c is who sends them, NULL = nobody waits any more.  An
    empty queue has room for anything."""
    cdef size_t after = backend.queued_bytes + n, limit = backend.queue_limit_bytes
    if after <= limit // 2 or backend.queued_bytes == 0:
        return False
    if after > limit:
        return True
    return c != NULL and after > <size_t>(limit * core.soft_ratio) and over_share(core, c, limit)
