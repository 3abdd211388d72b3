"""How a Request ends: the outcomes of its parts add up, and the last one answers it."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memset
from _pool cimport budget_give, pool_get, pool_put
from _work cimport Core, GRPC_OK, Request

cdef extern from "string.h" nogil:
    char* strdup(const char* s)
    char* strndup(const char* s, size_t n)
    size_t strlen(const char* s)

cdef inline Request* request_new(Core* core) noexcept nogil:
    """A blank request from the pool; NULL when the system has no memory."""
    cdef size_t cap
    cdef Request* r = <Request*>pool_get(&core.pool, sizeof(Request), &cap)
    if r != NULL:
        memset(r, 0, sizeof(Request))
    return r

cdef inline void release_body(Core* core, Request* r) noexcept nogil:
    """The bytes are not needed any more: their items are in batches, or nowhere."""
    if r.body != NULL:
        pool_put(&core.pool, r.body, r.cap)
        r.body = NULL
        r.cap = 0
    if r.booked_bytes:
        budget_give(&core.pool, r.booked_bytes)
        r.booked_bytes = 0

cdef inline void request_free(Core* core, Request* r) noexcept nogil:
    release_body(core, r)
    free(r.note)
    pool_put(&core.pool, r, sizeof(Request))

cdef inline void set_note(Request* r, const char* words) noexcept nogil:
    """The first reason is the one the client reads; cut at 512 bytes (OTLP: shorten error_message first)."""
    cdef size_t n
    if r.note == NULL and words != NULL:
        n = strlen(words)
        r.note = strndup(words, n if n < 512 else 512)

cdef inline void resolved(Core* core, Request* r) noexcept nogil:
    """No part of r is open: up to the parent whose part it was, or to the queue of replies."""
    cdef Request* parent
    while True:
        release_body(core, r)
        parent = r.parent
        if parent == NULL:
            r.next = core.replies
            r.queued = 1
            core.replies = r
            return
        parent.ok_items += r.ok_items
        parent.refused_items += r.refused_items
        if r.retryable:
            parent.retryable = 1
            if r.retry_after_ms > parent.retry_after_ms:
                parent.retry_after_ms = r.retry_after_ms
        if r.status != GRPC_OK and parent.status == GRPC_OK:
            parent.status = r.status
        set_note(parent, r.note)
        request_free(core, r)
        parent.open_parts -= 1
        if parent.open_parts:
            return
        r = parent

cdef inline void refuse(Core* core, Request* r, uint8_t status, const char* words) noexcept nogil:
    """The whole request is refused for good; nothing of it was booked or is in flight."""
    r.status = status
    set_note(r, words)
    resolved(core, r)

cdef inline void turn_away(Core* core, Request* r, uint32_t retry_after_ms, const char* words) noexcept nogil:
    """The whole request is refused for a passing reason: UNAVAILABLE with RetryInfo."""
    r.retryable = 1
    r.retry_after_ms = retry_after_ms
    set_note(r, words)
    resolved(core, r)
