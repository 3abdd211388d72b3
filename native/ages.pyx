"""Connections over time: maximum age, keepalive, signs of life, counters of idle frames that decay."""
from libc.stdint cimport int64_t, uint64_t
from _work cimport Batch, Conn, Core, mark_dead
from sidecar._native.client cimport client_ping
from sidecar._native.server cimport server_drain
from sidecar._native.sockets cimport calls_of

cdef int64_t jittered(Core* core, int64_t t) noexcept nogil:
    """t +- 10 %, so that connections of one start do not end at one time (xorshift64)."""
    cdef uint64_t x = core.rng
    x ^= x << 13
    x ^= x >> 7
    x ^= x << 17
    core.rng = x
    return t - t // 10 + <int64_t>(x % <uint64_t>(t // 5 + 1))

cdef void sweep_servers(Core* core) noexcept nogil:
    """Clients that are silent are pinged, those that do not answer are cut; old connections are asked to go."""
    cdef Conn* c = core.servers
    while c != NULL:
        c.idle_frames = 0
        c.resets -= c.resets // 2
        if c.ping_open and core.now_ns - c.ping_ns > core.keepalive_timeout_ns:
            mark_dead(c)
        elif c.draining and not core.draining and core.now_ns - c.expires_ns > core.max_age_grace_ns:
            mark_dead(c)
        elif not c.draining and (core.draining or c.expires_ns <= core.now_ns):
            server_drain(c)
        elif not c.ping_open and core.now_ns - c.heard_ns > core.keepalive_ns and not c.eof:
            client_ping(c)
        c = c.next
    core.ledger.page.worker.connections = core.nservers

cdef int64_t silence_ns(const Conn* c) noexcept nogil:
    """How long the oldest open call has been waiting without a byte from the backend; 0 without calls."""
    cdef const Batch* b = c.backend.called.head
    cdef int64_t since = c.heard_ns
    while b != NULL and b.conn != c:
        b = b.next
    if b == NULL:
        return 0
    if b.called_ns > since:
        since = b.called_ns
    return c.core.now_ns - since

cdef void sweep_clients(Core* core) noexcept nogil:
    """A backend that leaves calls unanswered in silence is asked for a sign of life, once; without one it is lost.

    Idle connections are not pinged: gRPC servers end those of clients that ping without data.
    """
    cdef Conn* c = core.clients
    while c != NULL:
        if c.connecting or not c.settled:
            if c.expires_ns <= core.now_ns:
                mark_dead(c)
        elif c.ping_open:
            if core.now_ns - c.ping_ns > core.stall_ns:
                mark_dead(c)
        elif silence_ns(c) > core.stall_ns:
            client_ping(c)
        elif c.draining and c.backend.conn == c and calls_of(c) == 0:
            mark_dead(c)              # it takes no more calls (stream ids used up): a new one is needed
        c = c.next
