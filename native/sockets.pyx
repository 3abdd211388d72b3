"""Sockets of connections: what epoll watches of them, and their output on its way out.

A flush asks the session for frames until there are none or the socket is full; what it did not take is kept by the
connection and goes first the next time.
"""
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc
from libc.string cimport memset
from _nghttp2 cimport (NGHTTP2_NO_ERROR, nghttp2_session, nghttp2_session_terminate_session, nghttp2_session_want_read,
                       nghttp2_session_want_write)
from _output cimport drop_unsent, gather, keep_unsent
from _posix cimport *
from _work cimport *
from sidecar._native.batch cimport release_parked

cdef enum:
    SENDS = 64                # sendmsg calls per connection and flush

cdef Conn* conn_new(Core* core, int fd, uint8_t kind) noexcept nogil:
    """A connection of this moment; NULL when the system has no memory."""
    cdef Conn* c = <Conn*>calloc(1, sizeof(Conn))
    if c != NULL:
        c.fd = fd
        c.kind = kind
        c.core = core
        c.born_ns = c.heard_ns = core.now_ns
    return c

cdef void watch(int ep, int op, Conn* c, uint32_t events) noexcept nogil:
    """Tells epoll what to look for; the event names the connection."""
    cdef epoll_event e
    memset(&e, 0, sizeof(e))
    e.events = c.watched = events
    e.data.ptr = c
    epoll_ctl(ep, op, c.fd, &e)

cdef void set_no_delay(int fd) noexcept nogil:
    cdef int one = 1
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))

cdef uint32_t calls_of(const Conn* c) noexcept nogil:
    """Calls to a backend that are open on this connection."""
    cdef Batch* b = c.backend.called.head
    cdef uint32_t n = 0
    while b != NULL:
        n += b.conn == c
        b = b.next
    return n

cdef bint send_all(Conn* c, iovec* iov, uint32_t* first, uint32_t n) noexcept nogil:
    """Sends iov[first:n]; False when the socket is full (first and the iovec are moved on) or dead."""
    cdef msghdr m
    cdef ssize_t sent
    memset(&m, 0, sizeof(m))
    while first[0] < n:
        m.msg_iov = iov + first[0]
        m.msg_iovlen = n - first[0]
        sent = sendmsg(c.fd, &m, MSG_NOSIGNAL)
        if sent < 0:
            if errno == EINTR:
                continue
            if errno != EAGAIN:
                c.error = errno
                mark_dead(c)
            return False
        while first[0] < n and sent >= <ssize_t>iov[first[0]].iov_len:
            sent -= iov[first[0]].iov_len
            first[0] += 1
        if sent:
            iov[first[0]].iov_base = <uint8_t*>iov[first[0]].iov_base + sent
            iov[first[0]].iov_len -= sent
    return True

cdef void end_drained(Conn* c) noexcept nogil:
    """All streams are answered and the client has seen the first GOAWAY (it answered the PING): close."""
    if c.kind == CONN_SERVER and c.draining and c.nopen == 0 and not c.ping_open and not c.closing:
        c.closing = ENDING
        nghttp2_session_terminate_session(<nghttp2_session*>c.session, NGHTTP2_NO_ERROR)

cdef void look_for(int ep, Conn* c, bint output) noexcept nogil:
    """Input and, if asked for, room for output.  A client that does not read its answers is not read from either."""
    cdef uint32_t events = EPOLLOUT if output else 0
    if not c.eof and (c.kind == CONN_CLIENT or c.nunsent == 0):
        events |= EPOLLIN
    if not c.dead and c.watched != events:
        watch(ep, EPOLL_CTL_MOD, c, events)

cdef bint is_over(const Conn* c) noexcept nogil:
    """Whether a connection that has nothing to send is at its end; a session after a protocol error wants nothing."""
    if c.closing or c.eof and c.nopen == 0 or c.kind == CONN_CLIENT and c.draining and calls_of(c) == 0:
        return True
    return not nghttp2_session_want_read(<nghttp2_session*>c.session) and (
        not nghttp2_session_want_write(<nghttp2_session*>c.session))

cdef void flush_conn(int ep, Conn* c) noexcept nogil:
    cdef Output* out = c.core.output
    cdef uint32_t first
    cdef int more = 1, i
    end_drained(c)
    for i in range(SENDS):
        if c.nunsent:
            if not send_all(c, c.unsent, &c.iunsent, c.nunsent):
                break
            drop_unsent(c)
            release_parked(c)
        if not more:
            break
        more = gather(c)
        if more < 0:
            mark_dead(c)
            return
        first = 0
        if out.n and not send_all(c, out.iov, &first, out.n):
            if not c.dead and not keep_unsent(c, first):
                mark_dead(c)
            break
    look_for(ep, c, c.nunsent != 0 or more == 1)
    if c.closing == CUT_OFF or c.nunsent == 0 and more == 0 and is_over(c):
        mark_dead(c)

cdef void flush_dirty(Core* core, int ep) noexcept nogil:
    """Sends what connections have to say, once for each."""
    cdef Conn* c
    while core.dirty != NULL:
        c = core.dirty
        core.dirty = c.next_dirty
        c.dirty = 0
        if not c.dead and not c.connecting:
            flush_conn(ep, c)
