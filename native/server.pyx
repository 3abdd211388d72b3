"""Server sessions: HTTP/2 from clients, gRPC on it; bytes in, complete Requests out, answers back.  Sans-IO.

    HEADERS --begin--> Request --DATA*, END_STREAM--> Core.ready --pipeline--> Core.replies --reply--> HEADERS DATA HEADERS
                          | refused on sight (unknown method, encoding, too large, no memory)  --> trailers only
                          | grpc.health.v1                                                     --> answered at once

Flow control is ours: credit is given back as bytes arrive.  Above the soft mark only connections under their share are
served, and the oldest incomplete request of the worker, so that it can complete and free its bytes.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy, memset
from _flood cimport RESETS_MAX, floods
from _grpc cimport same, signal_of, timeout_ns
from _ledger cimport OUT_GONE
from _nghttp2 cimport *
from _outcome cimport request_free, request_new, resolved, set_note
from _pool cimport budget_force, budget_ratio, pool_get, pool_put
from _prefix cimport read_prefix
from _share cimport has_to_wait, hold, let_go, newest_over_share, no_memory_for, over_share
from _work cimport *
from sidecar._native.answer cimport answer_health

cdef enum:
    REQUEST_BYTES = 1024              # what an open stream costs before its body
    TRUSTED_BYTES = 1 << 20           # how much a length prefix alone may reserve
    STREAM_WINDOW = 1 << 20
    CONNECTION_WINDOW = 4 << 20
    HEADER_LIST_BYTES = 16 << 10

cdef nghttp2_session_callbacks* CALLBACKS = NULL
cdef nghttp2_option* OPTIONS = NULL

# ------------------------------------------------------------------ headers

cdef int on_begin_headers(nghttp2_session* s, const nghttp2_frame* f, void* user) noexcept nogil:
    cdef Conn* c = <Conn*>user
    cdef Request* r
    if f.headers.cat != NGHTTP2_HCAT_REQUEST:
        return 0
    r = request_new(c.core)
    if r == NULL:
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
    budget_force(&c.core.pool, REQUEST_BYTES)
    r.booked_bytes = REQUEST_BYTES
    r.conn = c
    hold(c, r, REQUEST_BYTES)
    r.stream = f.hd.stream_id
    r.signal = SIGNAL_NONE
    r.arrived_ns = c.core.now_ns
    r.deadline_ns = c.core.now_ns + c.core.max_wait_ns
    r.conn_next = c.open
    if c.open != NULL:
        c.open.conn_prev = r
    c.open = r
    c.core.nactive += c.nopen == 0
    c.nopen += 1
    c.current = r
    nghttp2_session_set_stream_user_data(s, r.stream, r)
    if c.nopen == 1 and budget_ratio(&c.core.pool) < 0.5:
        nghttp2_session_set_local_window_size(s, <uint8_t>NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW)
    return 0

cdef int on_header(nghttp2_session* s, const nghttp2_frame* f, const uint8_t* name, size_t namelen, const uint8_t* v,
                   size_t n, uint8_t flags, void* user) noexcept nogil:
    cdef Conn* c = <Conn*>user
    cdef Request* r
    cdef int64_t t
    if f.headers.cat != NGHTTP2_HCAT_REQUEST:
        return 0
    r = c.open                        # the newest stream is the one whose header block is being read
    if r == NULL or r.stream != f.hd.stream_id:
        return 0
    if namelen == 5 and memcmp(name, b":path", 5) == 0:
        r.signal = signal_of(v, n)
    elif namelen == 12 and memcmp(name, b"grpc-timeout", 12) == 0:
        t = timeout_ns(v, n)
        if t >= 0 and c.core.now_ns + t - c.core.margin_ns < r.deadline_ns:
            r.deadline_ns = c.core.now_ns + t - c.core.margin_ns
    elif namelen == 13 and memcmp(name, b"grpc-encoding", 13) == 0:
        if same(v, n, b"gzip"):
            r.gzip = 1
        elif not same(v, n, b"identity"):
            r.status = GRPC_UNIMPLEMENTED
            set_note(r, b"unknown grpc-encoding: gzip and identity are accepted")
    elif namelen == 12 and memcmp(name, b"content-type", 12) == 0:
        if n < 16 or memcmp(v, b"application/grpc", 16) != 0 or n > 16 and v[16] != c'+' and v[16] != c';':
            r.status = GRPC_INVALID_ARGUMENT
            set_note(r, b"content-type must be application/grpc")
    return 0

cdef void begin_body(Conn* c, Request* r) noexcept nogil:
    """The header block is complete: what can be refused without the body is refused now."""
    r.headers_done = 1
    if r.signal == SIGNAL_NONE:
        refuse_early(c, r, GRPC_UNIMPLEMENTED, b"unknown method")
    elif r.status != GRPC_OK:
        refuse_early(c, r, r.status, NULL)
    elif r.signal != SIGNAL_HEALTH and no_memory_for(c):
        turn_away_early(c, r, b"the gateway's memory is used up")
    elif r.signal != SIGNAL_HEALTH:
        partial_begin(c.core, r)

cdef void refuse_early(Conn* c, Request* r, uint8_t status, const char* words) noexcept nogil:
    """Answers before the body is complete; what still comes of it is not kept."""
    partial_end(c.core, r)
    let_go(c, r)
    r.refusing = 1
    r.status = status
    set_note(r, words)
    resolved(c.core, r)

cdef void turn_away_early(Conn* c, Request* r, const char* words) noexcept nogil:
    """The same for a passing reason: UNAVAILABLE with RetryInfo."""
    r.retryable = 1
    r.retry_after_ms = c.core.retry_after_ms
    refuse_early(c, r, GRPC_OK, words)

# ------------------------------------------------------------------ bodies

cdef inline Request* request_of(Conn* c, nghttp2_session* s, int32_t stream) noexcept nogil:
    """The request of a stream, mostly the one that the last frame was about; NULL when there is none."""
    if c.current == NULL or c.current.stream != stream:
        c.current = <Request*>nghttp2_session_get_stream_user_data(s, stream)
    return c.current

cdef bint append(Core* core, Request* r, const uint8_t* data, size_t n) noexcept nogil:
    """Adds to the body; buffers grow by classes, the first one after the length prefix."""
    cdef size_t want = r.len + n, told, cap
    cdef uint8_t* buf
    if want > r.cap:
        if r.len == 0 and n >= GRPC_PREFIX:
            told = GRPC_PREFIX + <size_t>read_prefix(data)
            if told > want:
                want = told if told < TRUSTED_BYTES else TRUSTED_BYTES
                want = want if want > r.len + n else r.len + n
        buf = <uint8_t*>pool_get(&core.pool, want, &cap)
        if buf == NULL:
            return False
        if r.len:
            memcpy(buf, r.body, r.len)
        budget_force(&core.pool, cap - r.cap)
        r.booked_bytes += cap - r.cap
        core.partial_bytes += cap - r.cap if r.partial else 0
        if r.body != NULL:
            pool_put(&core.pool, r.body, r.cap)
        r.body = buf
        r.cap = cap
    memcpy(r.body + r.len, data, n)
    r.len += n
    return True

cdef bint too_large(Core* core, const Request* r) noexcept nogil:
    if r.len < GRPC_PREFIX:
        return False
    return read_prefix(r.body) > core.message_limit_bytes or r.len > core.message_limit_bytes + GRPC_PREFIX

cdef void crowd(Conn* c, Request* r) noexcept nogil:
    """r holds more than before.  Where incomplete bodies hold too much, those go that come too slowly for their deadline,
    then the newest of a connection over its share; where memory is used up, r, if its own is.  The oldest never goes."""
    cdef Core* core = c.core
    cdef bint full = over_share(core, c, core.partial_limit_bytes) and budget_ratio(&core.pool) >= 1.0
    while core.partial_bytes > core.partial_limit_bytes and core.partials != r and core.partials.deadline_ns <= core.now_ns:
        put_off(core.partials)
    if core.partials == r or r.len >= GRPC_PREFIX and r.len >= GRPC_PREFIX + <size_t>read_prefix(r.body):
        return
    if full or core.partial_bytes > core.partial_limit_bytes:
        put_off(newest_over_share(core, r))

cdef void put_off(Request* r) noexcept nogil:
    """UNAVAILABLE, before the body is complete."""
    cdef Conn* c = r.conn
    turn_away_early(c, r, b"the gateway's memory is full of incomplete requests")
    pay(c, r)

cdef int on_data_chunk(nghttp2_session* s, uint8_t flags, int32_t stream, const uint8_t* data, size_t n,
                       void* user) noexcept nogil:
    cdef Conn* c = <Conn*>user
    cdef Request* r = request_of(c, s, stream)
    cdef size_t booked
    if r != NULL:
        r.came_bytes += n
    if r == NULL or r.refusing or r.queued:
        nghttp2_session_consume(s, stream, n)
        return 0
    booked = r.booked_bytes
    if not append(c.core, r, data, n):
        nghttp2_session_consume(s, stream, n)
        turn_away_early(c, r, b"out of memory")
        return 0
    r.owed_bytes += n
    hold(c, r, r.booked_bytes - booked)
    if r.len - n < GRPC_PREFIX and too_large(c.core, r) or r.len > c.core.message_limit_bytes + GRPC_PREFIX:
        refuse_early(c, r, GRPC_RESOURCE_EXHAUSTED, b"the message is larger than the gateway takes")
    elif r.booked_bytes > booked:
        crowd(c, r)
    if r.owed_bytes >= 16384 or r.refusing:
        pay(c, r)
    return 0

cdef void pay(Conn* c, Request* r) noexcept nogil:
    """Gives credit for received bytes back; where memory is short, to the oldest body and to who is under his share."""
    if not r.refusing and c.core.partials != r and has_to_wait(c):
        return
    nghttp2_session_consume(<nghttp2_session*>c.session, r.stream, r.owed_bytes)
    r.owed_bytes = 0
    mark_dirty(c)

cdef void complete(Conn* c, Request* r) noexcept nogil:
    """END_STREAM: the request goes to the pipeline; its credit concerns the connection alone now."""
    r.half_closed = 1
    partial_end(c.core, r)
    if r.owed_bytes:
        nghttp2_session_consume_connection(<nghttp2_session*>c.session, r.owed_bytes)
        r.owed_bytes = 0
    if r.refusing or r.queued:
        return
    if r.signal == SIGNAL_HEALTH:
        answer_health(c, r)
    elif r.len == 0:
        refuse_early(c, r, GRPC_INVALID_ARGUMENT, b"the stream ended without a message")
    else:
        ready_push(c.core, r)

cdef int on_frame(nghttp2_session* s, const nghttp2_frame* f, void* user) noexcept nogil:
    cdef Conn* c = <Conn*>user
    cdef Request* r
    cdef uint8_t kind = f.hd.type
    if kind == NGHTTP2_DATA:
        if f.hd.flags & NGHTTP2_FLAG_END_STREAM:
            r = request_of(c, s, f.hd.stream_id)
            if r != NULL:
                complete(c, r)
    elif kind == NGHTTP2_HEADERS:
        r = request_of(c, s, f.hd.stream_id)
        if r != NULL:
            if not r.headers_done:
                begin_body(c, r)
            if f.hd.flags & NGHTTP2_FLAG_END_STREAM:
                complete(c, r)
    elif kind == NGHTTP2_PING and f.hd.flags & NGHTTP2_FLAG_ACK:
        c.ping_open -= c.ping_open > 0
        mark_dirty(c)                 # a draining connection may be done now
    return 0

cdef int on_sent(nghttp2_session* s, const nghttp2_frame* f, void* user) noexcept nogil:
    """Counts errors of the client, and lets one whose body nobody reads stop sending it (RFC 9113, 8.1).

    That reset is not submitted with the answer: libnghttp2 would then send nothing more on the stream.
    """
    cdef Request* r
    if f.hd.type == NGHTTP2_GOAWAY and f.goaway.error_code != <uint32_t>NGHTTP2_NO_ERROR:
        (<Conn*>user).core.ledger.page.worker.protocol_errors += 1
    elif f.hd.type == NGHTTP2_HEADERS and f.hd.flags & NGHTTP2_FLAG_END_STREAM:
        r = <Request*>nghttp2_session_get_stream_user_data(s, f.hd.stream_id)
        if r != NULL and not r.half_closed:
            nghttp2_submit_rst_stream(s, <uint8_t>NGHTTP2_FLAG_NONE, f.hd.stream_id, NGHTTP2_NO_ERROR)
    return 0

cdef int on_begin_frame(nghttp2_session* s, const nghttp2_frame_hd* hd, void* user) noexcept nogil:
    cdef Conn* c = <Conn*>user
    if floods(c, hd):
        c.closing = CUT_OFF
        nghttp2_session_terminate_session(s, NGHTTP2_ENHANCE_YOUR_CALM)
        mark_dirty(c)
    return 0

cdef int on_stream_close(nghttp2_session* s, int32_t stream, uint32_t error, void* user) noexcept nogil:
    cdef Request* r = <Request*>nghttp2_session_get_stream_user_data(s, stream)
    if r != NULL:
        forget_stream(<Conn*>user, r)
    return 0

cdef void forget_stream(Conn* c, Request* r) noexcept nogil:
    """The stream is over.  A request that nothing refers to any more is freed; parts under way are not stopped."""
    if r.conn_prev != NULL:
        r.conn_prev.conn_next = r.conn_next
    else:
        c.open = r.conn_next
    if r.conn_next != NULL:
        r.conn_next.conn_prev = r.conn_prev
    c.nopen -= 1
    c.core.nactive -= c.nopen == 0
    let_go(c, r)
    if c.nopen == 0 and c.draining and not c.dead:
        mark_dirty(c)                 # it may be closed now (end_drained)
    if c.current == r:
        c.current = NULL
    if r.owed_bytes:
        nghttp2_session_consume_connection(<nghttp2_session*>c.session, r.owed_bytes)
        r.owed_bytes = 0
    r.conn = NULL
    partial_end(c.core, r)
    if not r.queued and r.open_parts == 0:
        if not r.replied:
            c.core.ledger.page.signals[r.signal & 3].outcomes[OUT_GONE] += 1
        request_free(c.core, r)

# ------------------------------------------------------------------ sessions

cdef bint server_open(Conn* c) noexcept nogil:
    """Gives the connection its session and submits our SETTINGS; False when the system has no memory."""
    cdef nghttp2_settings_entry settings[5]
    cdef nghttp2_session* s = NULL
    if nghttp2_session_server_new3(&s, CALLBACKS, c, OPTIONS, NULL) != 0:
        return False
    c.session = s
    settings[0].settings_id = NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS
    settings[0].value = c.core.max_streams
    settings[1].settings_id = NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE
    settings[1].value = STREAM_WINDOW
    settings[2].settings_id = NGHTTP2_SETTINGS_MAX_FRAME_SIZE
    settings[2].value = 1 << 20
    settings[3].settings_id = NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE
    settings[3].value = HEADER_LIST_BYTES
    settings[4].settings_id = 9       # SETTINGS_NO_RFC7540_PRIORITIES (RFC 9218)
    settings[4].value = 1
    nghttp2_submit_settings(s, <uint8_t>NGHTTP2_FLAG_NONE, settings, 5)
    mark_dirty(c)
    return True

cdef ssize_t server_feed(Conn* c, const uint8_t* data, size_t n) noexcept nogil:
    """Bytes of the peer; negative when the connection must be closed."""
    cdef ssize_t used = nghttp2_session_mem_recv(<nghttp2_session*>c.session, data, n)
    if used < 0:                      # no HTTP/2 at all, or a flood
        c.core.ledger.page.worker.protocol_errors += 1
    if nghttp2_session_want_write(<nghttp2_session*>c.session):
        mark_dirty(c)
    return used

cdef void server_close(Conn* c) noexcept nogil:
    """The connection is gone: so are its streams; their parts go on."""
    while c.open != NULL:
        forget_stream(c, c.open)
    nghttp2_session_del(<nghttp2_session*>c.session)
    c.session = NULL

cdef void server_eof(Conn* c) noexcept nogil:
    """The client says nothing more: what is complete is still answered, the rest never will be.  Where the PING finds
    nobody, its system answers with a reset: then it has gone, and did not only close its side."""
    cdef Request* r = c.open
    while r != NULL:
        if not r.half_closed:
            nghttp2_submit_rst_stream(<nghttp2_session*>c.session, <uint8_t>NGHTTP2_FLAG_NONE, r.stream, NGHTTP2_CANCEL)
        r = r.conn_next
    nghttp2_submit_ping(<nghttp2_session*>c.session, <uint8_t>NGHTTP2_FLAG_NONE, NULL)
    c.eof = 1
    mark_dirty(c)

cdef void server_drain(Conn* c) noexcept nogil:
    """GOAWAY that excludes nothing (last stream 2^31-1): what the client has sent or still sends is answered."""
    if not c.draining:
        c.draining = 1
        nghttp2_submit_shutdown_notice(<nghttp2_session*>c.session)
        nghttp2_submit_ping(<nghttp2_session*>c.session, <uint8_t>NGHTTP2_FLAG_NONE, NULL)
        c.ping_open += 1              # beside one of keepalive that may be on its way
        c.ping_ns = c.core.now_ns
        mark_dirty(c)

cdef void server_relieve(Core* core) noexcept nogil:
    """Gives owed credit back; above the soft mark only to the oldest body and to connections under their share."""
    cdef Request* r
    cdef bint short_of = budget_ratio(&core.pool) >= core.soft_ratio
    while short_of and core.partials != NULL and core.partials.deadline_ns <= core.now_ns:
        put_off(core.partials)        # it comes too slowly for its own deadline
    r = core.partials
    while r != NULL:
        if r.owed_bytes and (not short_of or r == core.partials or not over_share(core, r.conn, core.partial_limit_bytes)):
            nghttp2_session_consume(<nghttp2_session*>r.conn.session, r.stream, r.owed_bytes)
            r.owed_bytes = 0
            mark_dirty(r.conn)
        r = r.partial_next

cdef void set_up() noexcept nogil:
    nghttp2_session_callbacks_new(&CALLBACKS)
    nghttp2_session_callbacks_set_on_begin_headers_callback(CALLBACKS, on_begin_headers)
    nghttp2_session_callbacks_set_on_begin_frame_callback(CALLBACKS, on_begin_frame)
    nghttp2_session_callbacks_set_on_header_callback(CALLBACKS, on_header)
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(CALLBACKS, on_data_chunk)
    nghttp2_session_callbacks_set_on_frame_recv_callback(CALLBACKS, on_frame)
    nghttp2_session_callbacks_set_on_frame_send_callback(CALLBACKS, on_sent)
    nghttp2_session_callbacks_set_on_stream_close_callback(CALLBACKS, on_stream_close)
    nghttp2_option_new(&OPTIONS)
    nghttp2_option_set_no_auto_window_update(OPTIONS, 1)
    nghttp2_option_set_no_closed_streams(OPTIONS, 1)
    nghttp2_option_set_max_outbound_ack(OPTIONS, 1000)
    nghttp2_option_set_max_settings(OPTIONS, 32)
    set_reset_limit(OPTIONS, RESETS_MAX, 200)
    set_continuation_limit(OPTIONS, 8)

set_up()

def nghttp2_features():
    """The library in use and which flood defences it brings; where one is missing, counters of ours stand in."""
    return {
        "library": nghttp2_version(0).version_str.decode(),
        "built_with": BUILT_WITH.decode(),
        "stream_reset_rate_limit": bool(HAS_RESET_LIMIT),
        "continuation_limit": bool(HAS_CONTINUATION_LIMIT),
    }
