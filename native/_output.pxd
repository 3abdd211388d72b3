"""The output of one connection: what libnghttp2 frames becomes iovecs, item bytes are not copied.

Two drivers ask for it: the engine sends the iovecs through a socket, a transport copies them out.  iovecs point into
Output.arena, which is one for all connections, and into chunks of batches; what the socket does not take is kept by
the connection, arena bytes copied (see keep_unsent).
"""
from libc.stdint cimport int32_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from _nghttp2 cimport nghttp2_session, nghttp2_session_mem_send
from _posix cimport iovec
from _work cimport Conn, MAX_IOV, OUTPUT_ARENA, OUTPUT_SLACK, Output

cdef inline bint output_full(const Output* out) noexcept nogil:
    return out.n + 16 > MAX_IOV or out.used + OUTPUT_SLACK > OUTPUT_ARENA

cdef inline void output_ref(Output* out, const void* p, size_t n) noexcept nogil:
    """Adds bytes that stay where they are until they were sent; neighbours are joined."""
    cdef iovec* last
    if out.n:
        last = &out.iov[out.n - 1]
        if <const uint8_t*>last.iov_base + last.iov_len == <const uint8_t*>p:
            last.iov_len += n
            return
    out.iov[out.n].iov_base = <void*>p
    out.iov[out.n].iov_len = n
    out.n += 1

cdef inline void output_copy(Output* out, const void* p, size_t n) noexcept nogil:
    memcpy(out.arena + out.used, p, n)
    output_ref(out, out.arena + out.used, n)
    out.used += <uint32_t>n

cdef inline int gather(Conn* c) noexcept nogil:
    """Fills the output: 0 = that is all, 1 = more may follow once this is sent, -1 = the session is broken."""
    cdef Output* out = c.core.output
    cdef const uint8_t* data
    cdef ssize_t n
    out.n = 0
    out.used = 0
    out.blocked = 0
    while not output_full(out):
        n = nghttp2_session_mem_send(<nghttp2_session*>c.session, &data)
        if n < 0:
            return -1
        if n == 0:                # nothing left, or a DATA frame that found the output full
            return 1 if out.blocked else 0
        output_copy(out, data, n)
    return 1

cdef inline bint keep_unsent(Conn* c, uint32_t first) noexcept nogil:
    """Moves iovecs first.. to the connection; False when the system has no memory."""
    cdef Output* out = c.core.output
    cdef uint32_t i, n = out.n - first
    cdef size_t copied = 0
    cdef uint8_t* base
    cdef uint8_t* start = out.arena
    cdef uint8_t* end = out.arena + OUTPUT_ARENA
    for i in range(first, out.n):
        base = <uint8_t*>out.iov[i].iov_base
        if start <= base < end:
            copied += out.iov[i].iov_len
    c.unsent = <iovec*>malloc(n * sizeof(iovec))
    c.unsent_bytes = <uint8_t*>malloc(copied + 1)
    if c.unsent == NULL or c.unsent_bytes == NULL:
        return False
    memcpy(c.unsent, &out.iov[first], n * sizeof(iovec))
    copied = 0
    for i in range(n):
        base = <uint8_t*>c.unsent[i].iov_base
        if start <= base < end:
            memcpy(c.unsent_bytes + copied, base, c.unsent[i].iov_len)
            c.unsent[i].iov_base = c.unsent_bytes + copied
            copied += c.unsent[i].iov_len
    c.nunsent = n
    c.iunsent = 0
    return True

cdef inline void drop_unsent(Conn* c) noexcept nogil:
    free(c.unsent)
    free(c.unsent_bytes)
    c.unsent = NULL
    c.unsent_bytes = NULL
    c.nunsent = c.iunsent = 0
