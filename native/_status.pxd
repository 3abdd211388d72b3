"""The wire forms of a gRPC answer: percent-encoded messages, status details with RetryInfo, partial_success.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, google/rpc/status.proto and error_details.proto,
opentelemetry/proto/collector/trace/v1/trace_service.proto (the logs and metrics services have the same fields).
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy
from _prefix cimport write_prefix
from _wire cimport len_size, write_short

cdef enum:
    STATUS_MESSAGE_MAX = 600  # bytes of a note that are shown
    STATUS_DETAILS_MAX = 1024
    RETRY_INFO_MAX = 32

cdef extern from *:
    """
    static const char sg_retry_info_type[] = "type.googleapis.com/google.rpc.RetryInfo";
    static const char sg_base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char sg_hex[] = "0123456789ABCDEF";
    """
    const char* RETRY_INFO_TYPE "sg_retry_info_type"
    const char* BASE64 "sg_base64"
    const char* HEX "sg_hex"

cdef inline size_t percent_encode(uint8_t* w, const char* words, size_t n) noexcept nogil:
    """grpc-message: everything but printable ASCII, and %, becomes %XX.  w has room for 3 n bytes."""
    cdef uint8_t* start = w
    cdef size_t i
    cdef uint8_t b
    for i in range(n):
        b = <uint8_t>words[i]
        if 0x20 <= b <= 0x7e and b != c'%':
            w[0] = b
            w += 1
        else:
            w[0] = c'%'
            w[1] = HEX[b >> 4]
            w[2] = HEX[b & 15]
            w += 3
    return w - start

cdef inline uint8_t* write_varint(uint8_t* w, uint64_t v) noexcept nogil:
    while v >= 128:
        w[0] = <uint8_t>(v | 128)
        v >>= 7
        w += 1
    w[0] = <uint8_t>v
    return w + 1

cdef inline uint8_t* write_bytes(uint8_t* w, uint8_t tag, const void* p, uint32_t n) noexcept nogil:
    w[0] = tag
    w = write_short(w + 1, n)
    memcpy(w, p, n)
    return w + n

cdef inline size_t base64(uint8_t* w, const uint8_t* raw, size_t used) noexcept nogil:
    """Without padding, as gRPC wants it; w has room for 4 bytes of text for every 3, and 3 more."""
    cdef uint8_t* start = w
    cdef size_t i = 0
    cdef uint32_t v
    while i + 2 < used:
        v = (<uint32_t>raw[i] << 16) | (<uint32_t>raw[i + 1] << 8) | raw[i + 2]
        w[0] = BASE64[v >> 18]
        w[1] = BASE64[v >> 12 & 63]
        w[2] = BASE64[v >> 6 & 63]
        w[3] = BASE64[v & 63]
        w += 4
        i += 3
    if used - i == 1:
        w[0] = BASE64[raw[i] >> 2]
        w[1] = BASE64[raw[i] << 4 & 63]
        w += 2
    elif used - i == 2:
        v = (<uint32_t>raw[i] << 8) | raw[i + 1]
        w[0] = BASE64[v >> 10]
        w[1] = BASE64[v >> 4 & 63]
        w[2] = BASE64[v << 2 & 63]
        w += 3
    return w - start

cdef inline size_t retry_info(uint8_t* w, uint32_t delay_ms) noexcept nogil:
    """google.rpc.RetryInfo{retry_delay}; w has room for RETRY_INFO_MAX."""
    cdef uint8_t* q = w + 2
    q[0] = 0x08
    q = write_varint(q + 1, delay_ms // 1000)
    q[0] = 0x10
    q = write_varint(q + 1, <uint64_t>(delay_ms % 1000) * 1000000)
    w[0] = 0x0a
    w[1] = <uint8_t>(q - w - 2)
    return q - w

cdef inline size_t retry_details(uint8_t* w, uint8_t status, const char* words, size_t n, uint32_t delay_ms) noexcept nogil:
    """base64 of google.rpc.Status{code, message, [Any{RetryInfo}]}; w has room for STATUS_DETAILS_MAX * 2."""
    cdef uint8_t raw[1024]
    cdef uint8_t info[32]
    cdef uint8_t any[128]
    cdef uint8_t* q
    cdef size_t info_n = retry_info(info, delay_ms), any_n
    q = write_bytes(any, 0x0a, RETRY_INFO_TYPE, 40)
    q = write_bytes(q, 0x12, info, <uint32_t>info_n)
    any_n = q - any
    raw[0] = 0x08
    q = write_varint(raw + 1, status)
    q = write_bytes(q, 0x12, words, <uint32_t>n)
    q = write_bytes(q, 0x1a, any, <uint32_t>any_n)
    return base64(w, raw, q - raw)

cdef inline size_t partial_success(uint8_t* w, uint64_t rejected, const char* words, size_t n) noexcept nogil:
    """A gRPC message: prefix and Export*ServiceResponse{1: {1: rejected, 2: error_message}}; room for n + 64 bytes."""
    cdef uint8_t inner[16]
    cdef uint8_t* q
    cdef uint32_t head_n, body_n
    inner[0] = 0x08
    q = write_varint(inner + 1, rejected)
    head_n = <uint32_t>(q - inner) if rejected else 0     # a warning
    body_n = head_n + (1 + len_size(<uint32_t>n) + <uint32_t>n if n else 0)
    q = w + 5
    q[0] = 0x0a
    q = write_short(q + 1, body_n)
    memcpy(q, inner, head_n)
    q += head_n
    if n:
        q = write_bytes(q, 0x12, words, <uint32_t>n)
    write_prefix(w, False, q - w - 5)
    return q - w
