"""gzip of whole gRPC messages: bounded inflation of what comes in, compression of what goes out.

One inflater and one deflater per process, reset for each message; a worker has one thread that uses them.
"""
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset
from _chunk cimport chunk_new
from _pool cimport budget_force, budget_give, pool_get, pool_put
from _work cimport Batch, CHUNK_FIRST, Chunk, Core, GRPC_PREFIX, Request

cdef extern from "zlib.h" nogil:
    ctypedef struct z_stream:
        const uint8_t* next_in
        unsigned int avail_in
        uint8_t* next_out
        unsigned int avail_out
    int inflateInit2(z_stream*, int bits)
    int inflate(z_stream*, int flush)
    int inflateReset(z_stream*)
    int deflateInit2(z_stream*, int level, int method, int bits, int memory, int strategy)
    int deflate(z_stream*, int flush)
    int deflateReset(z_stream*)
    int Z_OK, Z_STREAM_END, Z_BUF_ERROR, Z_NO_FLUSH, Z_FINISH, Z_DEFLATED, Z_DEFAULT_STRATEGY

cdef enum:
    GZIP_BITS = 31            # window of 32 KB, gzip header and trailer
    GZIP_LEVEL = 1            # the cheapest: CPU is what a gateway is measured by

cdef z_stream INFLATER
cdef z_stream DEFLATER
memset(&INFLATER, 0, sizeof(z_stream))
memset(&DEFLATER, 0, sizeof(z_stream))
if inflateInit2(&INFLATER, GZIP_BITS) != Z_OK or deflateInit2(
        &DEFLATER, GZIP_LEVEL, Z_DEFLATED, GZIP_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK:
    raise MemoryError("zlib")

cdef bint grow(Core* core, uint8_t** buf, size_t* cap, size_t used) noexcept nogil:
    cdef size_t size
    cdef uint8_t* bigger = <uint8_t*>pool_get(&core.pool, cap[0] * 2, &size)
    if bigger == NULL:
        return False
    budget_force(&core.pool, size)
    memcpy(bigger, buf[0], used)
    pool_put(&core.pool, buf[0], cap[0])
    budget_give(&core.pool, cap[0])
    buf[0] = bigger
    cap[0] = size
    return True

cdef int inflate_body(Core* core, Request* r) noexcept nogil:
    """Replaces r.body (prefix and gzip) by the plain message with a prefix of its own.

    0 = done, 1 = not gzip, or cut off, or followed by other bytes; 2 = larger than the message limit.  Members may
    follow each other (RFC 1952, 2.2).  Memory stays under twice the limit, whatever the input claims.
    """
    cdef size_t limit = core.message_limit_bytes + GRPC_PREFIX, cap, used = GRPC_PREFIX
    cdef uint8_t* buf = <uint8_t*>pool_get(&core.pool, r.len * 4 + 4096, &cap)
    cdef int rc, result = 0
    if buf == NULL:
        return 2
    budget_force(&core.pool, cap)
    inflateReset(&INFLATER)
    INFLATER.next_in = r.body + GRPC_PREFIX
    INFLATER.avail_in = <unsigned int>(r.len - GRPC_PREFIX)
    while True:
        if used == cap and not grow(core, &buf, &cap, used):
            result = 2
            break
        INFLATER.next_out = buf + used
        INFLATER.avail_out = <unsigned int>(cap - used)
        rc = inflate(&INFLATER, Z_NO_FLUSH)
        used = cap - INFLATER.avail_out
        if used > limit:
            result = 2
            break
        if rc == Z_STREAM_END:
            if INFLATER.avail_in == 0:
                break
            inflateReset(&INFLATER)
        elif rc != Z_OK or INFLATER.avail_in == 0 and INFLATER.avail_out != 0:
            result = 1
            break
    if result:
        pool_put(&core.pool, buf, cap)
        budget_give(&core.pool, cap)
        return result
    pool_put(&core.pool, r.body, r.cap)
    budget_give(&core.pool, r.cap)
    r.booked_bytes += cap
    r.booked_bytes -= r.cap
    r.body = buf
    r.cap = cap
    r.len = used
    used -= GRPC_PREFIX
    buf[0] = 0
    buf[1] = used >> 24 & 255
    buf[2] = used >> 16 & 255
    buf[3] = used >> 8 & 255
    buf[4] = used & 255
    return 0

cdef void deflate_batch(Core* core, Batch* b) noexcept nogil:
    """Fills b.gzip_head and b.out_len with the compressed message; the plain chunks stay for retries and rerouting."""
    cdef Chunk* source = b.head
    cdef Chunk* out = chunk_new(core, CHUNK_FIRST - sizeof(Chunk))
    cdef Chunk* tail = out
    cdef int rc, flush
    deflateReset(&DEFLATER)
    DEFLATER.avail_in = 0
    DEFLATER.next_out = tail.data
    DEFLATER.avail_out = <unsigned int>tail.cap
    b.out_len = 0
    while True:
        while DEFLATER.avail_in == 0 and source != NULL:
            DEFLATER.next_in = source.data
            DEFLATER.avail_in = <unsigned int>source.len
            source = source.next
        flush = Z_NO_FLUSH if source != NULL else Z_FINISH
        rc = deflate(&DEFLATER, flush)
        tail.len = tail.cap - DEFLATER.avail_out
        if rc == Z_STREAM_END:
            break
        if DEFLATER.avail_out == 0:
            b.out_len += tail.len
            tail.next = chunk_new(core, CHUNK_FIRST - sizeof(Chunk))
            tail = tail.next
            DEFLATER.next_out = tail.data
            DEFLATER.avail_out = <unsigned int>tail.cap
    b.out_len += tail.len
    b.gzip_head = out
