"""gzip of whole gRPC messages: bounded inflation of what comes in, compression of what goes out.

What others sent is inflated by libdeflate, which is made for whole buffers and fuzzed without pause; our own bytes are
compressed by ISA-L, the fastest there is at the ratio of zlib's level 1, from chunk to chunk.  One coder of each kind
per process, used by one thread.  (docs/decisions/0012-gzip-codecs.md has the measurement.)
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport malloc
from libc.string cimport memcpy
from _chunk cimport chunk_new, give, take
from _pool cimport budget_give, class_bytes, pool_get, pool_put
from _prefix cimport write_prefix
from _work cimport Batch, CHUNK_FIRST, Chunk, Core, GRPC_PREFIX, Request

cdef extern from "libdeflate.h" nogil:
    struct libdeflate_decompressor:
        pass
    enum libdeflate_result:
        LIBDEFLATE_SUCCESS
        LIBDEFLATE_INSUFFICIENT_SPACE
    libdeflate_decompressor* libdeflate_alloc_decompressor()
    libdeflate_result libdeflate_gzip_decompress_ex(libdeflate_decompressor* d, const void* source, size_t n, void* out,
                                                    size_t room, size_t* used, size_t* made)

cdef extern from "isa-l/igzip_lib.h" nogil:
    struct isal_zstream:
        uint8_t* next_in
        uint32_t avail_in
        uint8_t* next_out
        uint32_t avail_out
        uint32_t level
        uint32_t level_buf_size
        uint8_t* level_buf
        uint16_t end_of_stream
        uint16_t flush
        uint16_t gzip_flag
    void isal_deflate_init(isal_zstream* z)
    int isal_deflate(isal_zstream* z)
    int ISAL_DEF_LVL1_DEFAULT, IGZIP_GZIP, NO_FLUSH

cdef enum:
    ANSWER_MAX = 1 << 20      # a few words, and a number
    RATIO_MAX = 1032          # of deflate: what n bytes can become at most (RFC 1951: 258 bytes from 2 bits)

cdef libdeflate_decompressor* INFLATER = libdeflate_alloc_decompressor()
cdef isal_zstream DEFLATER
cdef uint8_t* LEVEL_BUFFER = <uint8_t*>malloc(ISAL_DEF_LVL1_DEFAULT)
if INFLATER == NULL or LEVEL_BUFFER == NULL:
    raise MemoryError

cdef inline size_t told_size(const uint8_t* p, size_t n) noexcept nogil:
    """ISIZE, the last four bytes of a member: the size it claims, modulo 2^32."""
    return p[n - 4] | (<size_t>p[n - 3] << 8) | (<size_t>p[n - 2] << 16) | (<size_t>p[n - 1] << 24)

cdef inline size_t least(size_t a, size_t b) noexcept nogil:
    return a if a < b else b

cdef int inflate_body(Core* core, Request* r) noexcept nogil:
    """Replaces r.body (prefix and gzip) by the plain message with a prefix of its own.

    0 = done, 1 = not gzip, or cut off, or followed by other bytes; 2 = larger than the message limit.  Members may
    follow each other (RFC 1952, 2.2).  The claimed size only says how much to begin with: no more is reserved than the
    limit, or than that many bytes can become.
    """
    cdef const uint8_t* source = r.body + GRPC_PREFIX
    cdef size_t left = r.len - GRPC_PREFIX, limit = core.message_limit_bytes + GRPC_PREFIX
    cdef size_t room = GRPC_PREFIX, cap, used, made, size = GRPC_PREFIX
    cdef libdeflate_result rc
    cdef uint8_t* buf
    cdef uint8_t* bigger
    if left < 18:
        return 1
    room += least(told_size(source, left), left * RATIO_MAX)
    buf = <uint8_t*>take(core, least(room, limit) + 64, &cap)
    while left:
        rc = libdeflate_gzip_decompress_ex(INFLATER, source, left, buf + size, cap - size, &used, &made)
        if rc == LIBDEFLATE_SUCCESS:
            size += made
            source += used
            left -= used
        if size > limit or rc == LIBDEFLATE_INSUFFICIENT_SPACE and cap >= limit:
            give(core, buf, cap)
            return 2
        if rc == LIBDEFLATE_INSUFFICIENT_SPACE:
            room = cap
            bigger = <uint8_t*>take(core, room * 2, &cap)
            memcpy(bigger, buf, size)
            give(core, buf, room)
            buf = bigger
        elif rc != LIBDEFLATE_SUCCESS:
            give(core, buf, cap)
            return 1
    pool_put(&core.pool, r.body, r.cap)
    budget_give(&core.pool, r.cap)
    r.booked_bytes += cap         # booked by take
    r.booked_bytes -= r.cap
    r.body = buf
    r.cap = cap
    r.len = size
    write_prefix(buf, False, size - GRPC_PREFIX)
    return 0

cdef bint inflate_answer(Core* core, Batch* b) noexcept nogil:
    """Replaces a compressed answer by the plain one: grpc-go answers in the encoding of the request.

    False where it is not gzip of one member, or not small: it stays as it is.
    """
    cdef const uint8_t* source = b.answer + GRPC_PREFIX
    cdef size_t left = b.answer_len - GRPC_PREFIX, cap, used, made
    cdef uint8_t* buf
    if left < 18 or told_size(source, left) > ANSWER_MAX:
        return False
    buf = <uint8_t*>pool_get(&core.pool, told_size(source, left) + GRPC_PREFIX, &cap)
    if buf == NULL:
        return False
    if libdeflate_gzip_decompress_ex(INFLATER, source, left, buf + GRPC_PREFIX, cap - GRPC_PREFIX, &used,
                                     &made) != LIBDEFLATE_SUCCESS or used != left:
        pool_put(&core.pool, buf, cap)
        return False
    pool_put(&core.pool, b.answer, b.answer_cap)
    b.answer = buf
    b.answer_cap = cap
    b.answer_len = made + GRPC_PREFIX
    write_prefix(buf, False, made)
    return True

cdef void deflate_batch(Core* core, Batch* b) noexcept nogil:
    """Fills b.gzip_head and b.out_len with the compressed message; the plain chunks stay for retries and rerouting."""
    cdef Chunk* source = b.head
    cdef Chunk* tail = chunk_new(core, CHUNK_FIRST - sizeof(Chunk))
    b.gzip_head = tail
    b.out_len = 0
    isal_deflate_init(&DEFLATER)
    DEFLATER.level = 1
    DEFLATER.level_buf = LEVEL_BUFFER
    DEFLATER.level_buf_size = ISAL_DEF_LVL1_DEFAULT
    DEFLATER.gzip_flag = <uint16_t>IGZIP_GZIP
    DEFLATER.flush = <uint16_t>NO_FLUSH
    DEFLATER.avail_in = 0
    DEFLATER.next_out = tail.data
    DEFLATER.avail_out = <uint32_t>tail.cap
    while True:
        if DEFLATER.avail_in == 0 and source != NULL:
            DEFLATER.next_in = source.data
            DEFLATER.avail_in = <uint32_t>source.len
            source = source.next
            DEFLATER.end_of_stream = source == NULL
        isal_deflate(&DEFLATER)
        tail.len = tail.cap - DEFLATER.avail_out
        if DEFLATER.avail_out == 0:
            b.out_len += tail.len
            tail.next = chunk_new(core, CHUNK_FIRST - sizeof(Chunk))
            tail = tail.next
            DEFLATER.next_out = tail.data
            DEFLATER.avail_out = <uint32_t>tail.cap
        elif DEFLATER.avail_in == 0 and source == NULL:
            break
    b.out_len += tail.len
