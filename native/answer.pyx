"""Answers of the server side: what the outcomes of a request's parts add up to, as gRPC says it.

The delivery contract: any part that failed for a passing reason -> UNAVAILABLE with RetryInfo; else some items refused
for good -> OK with partial_success; everything refused -> its status; else OK with an empty message, or with the warning
of a backend (OTLP: partial_success that rejects nothing).
"""
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from _grpc cimport nv_const
from _ledger cimport (DURATION_BUCKETS, OUT_GONE, OUT_INVALID, OUT_OK, OUT_OTHER, OUT_PARTIAL, OUT_TOO_LARGE, OUT_UNAVAILABLE,
                      OUT_UNIMPLEMENTED, SignalFigures, bucket_of)
from _nghttp2 cimport *
from _outcome cimport release_body, request_free, strlen
from _pool cimport pool_get
from _status cimport (RETRY_INFO_MAX, STATUS_MESSAGE_MAX, base64, partial_success, percent_encode, retry_details,
                      retry_info)
from _work cimport *

cdef nghttp2_nv ANSWER_HEADERS[2]
cdef nghttp2_nv OK_TRAILER[1]
cdef inline const char* words_of(const Request* r) noexcept nogil:
    return <const char*>r.note if r.note != NULL else <const char*>b""

cdef ssize_t read_ok(nghttp2_session* s, int32_t stream, uint8_t* buf, size_t n, uint32_t* flags,
                     nghttp2_data_source* source, void* user) noexcept nogil:
    """An empty Export*ServiceResponse: five zero bytes, then grpc-status: 0."""
    flags[0] |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM
    nghttp2_submit_trailer(s, stream, OK_TRAILER, 1)
    memset(buf, 0, GRPC_PREFIX)
    return GRPC_PREFIX

cdef ssize_t read_body(nghttp2_session* s, int32_t stream, uint8_t* buf, size_t n, uint32_t* flags,
                       nghttp2_data_source* source, void* user) noexcept nogil:
    """A message of ours that stands in the request's own buffer (under 4 KB)."""
    cdef Request* r = <Request*>source.ptr
    flags[0] |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM
    nghttp2_submit_trailer(s, stream, OK_TRAILER, 1)
    memcpy(buf, r.body, r.len)
    return r.len

cdef bint own_buffer(Core* core, Request* r, size_t n) noexcept nogil:
    release_body(core, r)
    r.body = <uint8_t*>pool_get(&core.pool, n, &r.cap)
    r.len = 0
    return r.body != NULL

cdef void answer_body(Conn* c, Request* r) noexcept nogil:
    cdef nghttp2_data_provider provider
    provider.source.ptr = r
    provider.read_callback = read_body
    r.replied = 1
    nghttp2_submit_response(<nghttp2_session*>c.session, r.stream, ANSWER_HEADERS, 2, &provider)
    mark_dirty(c)

cdef void answer_health(Conn* c, Request* r) noexcept nogil:
    """HealthCheckResponse{status}: 1 SERVING, 2 NOT_SERVING; every service name has the state of the whole."""
    cdef uint8_t serving = c.core.serving
    if not own_buffer(c.core, r, 16):
        return
    memset(r.body, 0, GRPC_PREFIX)
    r.body[4] = 2
    r.body[5] = 0x08
    r.body[6] = 1 if serving else 2
    r.len = 7
    answer_body(c, r)

cdef void answer_error(Conn* c, Request* r, uint8_t status) noexcept nogil:
    """Trailers only: status, message and, for a passing condition, RetryInfo."""
    cdef nghttp2_nv nv[6]
    cdef uint8_t message[1800]
    cdef uint8_t details[2048]
    cdef uint8_t raw[RETRY_INFO_MAX]
    cdef uint8_t info[2 * RETRY_INFO_MAX]
    cdef uint8_t code[4]
    cdef const char* words = words_of(r)
    cdef size_t n = strlen(words)
    cdef size_t count = 4
    if n > STATUS_MESSAGE_MAX:
        n = STATUS_MESSAGE_MAX
    nv[0] = ANSWER_HEADERS[0]
    nv[1] = ANSWER_HEADERS[1]
    nv_const(&nv[2], b"grpc-status", b"")
    code[0] = c'0' + status // 10
    code[1] = c'0' + status % 10
    nv[2].value = &code[0] if status >= 10 else &code[1]
    nv[2].valuelen = 2 if status >= 10 else 1
    nv[2].flags = 0
    nv_const(&nv[3], b"grpc-message", b"")
    nv[3].value = message
    nv[3].valuelen = percent_encode(message, words, n)
    nv[3].flags = 0
    if r.retryable:
        nv_const(&nv[4], b"grpc-status-details-bin", b"")
        nv[4].value = details
        nv[4].valuelen = retry_details(details, status, words, n, r.retry_after_ms)
        nv[4].flags = 0
        nv_const(&nv[5], b"google.rpc.retryinfo-bin", b"")   # where the SDK of Python looks
        nv[5].value = info
        nv[5].valuelen = base64(info, raw, retry_info(raw, r.retry_after_ms))
        nv[5].flags = 0
        count = 6
    elif status == GRPC_UNIMPLEMENTED:
        nv_const(&nv[4], b"grpc-accept-encoding", b"identity,gzip")
        count = 5
    r.replied = 1
    nghttp2_submit_response(<nghttp2_session*>c.session, r.stream, nv, count, NULL)
    mark_dirty(c)

cdef uint32_t answer(Conn* c, Request* r) noexcept nogil:
    """What the outcomes of all parts add up to (the delivery contract); returns the Outcome."""
    cdef nghttp2_data_provider provider
    cdef const char* words
    cdef size_t n
    if r.retryable:
        answer_error(c, r, GRPC_UNAVAILABLE)
        return OUT_UNAVAILABLE
    if r.refused_items == 0 and r.status == GRPC_OK and r.note != NULL:
        words = words_of(r)
        n = strlen(words)
        if own_buffer(c.core, r, n + 64):
            r.len = partial_success(r.body, 0, words, n)
            answer_body(c, r)
            return OUT_OK
    if r.refused_items == 0 and r.status == GRPC_OK:
        provider.source.ptr = NULL
        provider.read_callback = read_ok
        r.replied = 1
        nghttp2_submit_response(<nghttp2_session*>c.session, r.stream, ANSWER_HEADERS, 2, &provider)
        mark_dirty(c)
        return OUT_OK
    if r.refused_items and r.ok_items:
        words = words_of(r)
        n = strlen(words)
        if own_buffer(c.core, r, n + 64):
            r.len = partial_success(r.body, r.refused_items, words, n)
            answer_body(c, r)
            return OUT_PARTIAL
    answer_error(c, r, r.status if r.status != GRPC_OK else GRPC_INVALID_ARGUMENT)
    if r.status == GRPC_UNIMPLEMENTED:
        return OUT_UNIMPLEMENTED
    if r.status == GRPC_RESOURCE_EXHAUSTED:
        return OUT_TOO_LARGE
    return OUT_INVALID if r.status == GRPC_INVALID_ARGUMENT or r.status == GRPC_OK else OUT_OTHER

cdef void server_reply(Core* core) noexcept nogil:
    """Answers every request in Core.replies."""
    cdef Request* r
    cdef Request* next = core.replies
    cdef SignalFigures* figures
    cdef uint64_t took
    cdef uint32_t outcome
    core.replies = NULL
    while next != NULL:
        r = next
        next = r.next
        r.queued = 0
        figures = &core.ledger.page.signals[r.signal & 3]
        if r.conn == NULL and r.judged:   # a part on its way to another owner, whose client has long had its OK
            request_free(core, r)
            continue
        outcome = OUT_GONE if r.conn == NULL else answer(r.conn, r)
        figures.outcomes[outcome] += 1
        figures.outcome_bytes[outcome] += r.came_bytes
        if outcome == OUT_GONE:
            request_free(core, r)
            continue
        if r.signal == SIGNAL_NONE:
            continue
        took = core.now_ns - r.arrived_ns
        figures.requests += 1
        figures.duration_sum_ns += took
        figures.duration[bucket_of(took // 1000, DURATION_BUCKETS)] += 1

nv_const(&ANSWER_HEADERS[0], b":status", b"200")
nv_const(&ANSWER_HEADERS[1], b"content-type", b"application/grpc")
nv_const(&OK_TRAILER[0], b"grpc-status", b"0")
