"""Client sessions: one HTTP/2 connection to a backend, a Batch out as one unary gRPC call, its answer back.  Sans-IO.

    submit --HEADERS, DATA as iovecs into the batch's chunks--> answer --stream closed--> Core.answered

DATA frames are as large as the backend allows (up to 1 MB) and are never copied.  What an answer says (status,
message, details, partial_success) is kept with the batch for whoever settles it.
"""
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset
from _nghttp2 cimport *
from _outcome cimport strdup, strlen, strndup
from _output cimport output_copy, output_ref
from _pool cimport pool_get, pool_put
from _prefix cimport write_prefix
from _work cimport *

cdef enum:
    FRAME_MAX = 1 << 20
    ANSWER_MAX = 4 << 20              # OTLP: responses are limited to 4 MiB
    TEXT_MAX = 4096
    CLIENT_STREAM_WINDOW = 1 << 20
    CLIENT_WINDOW = 4 << 20

cdef nghttp2_session_callbacks* CALLBACKS = NULL
cdef nghttp2_option* OPTIONS = NULL

cdef extern from *:
    """
    static const char* const sg_paths[4] = {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"};
    """
    const char* PATHS "sg_paths"[4]

# ------------------------------------------------------------------ the answer

cdef int16_t number(const uint8_t* v, size_t n) noexcept nogil:
    cdef int16_t x = 0
    cdef size_t i
    if n == 0 or n > 3:
        return -1
    for i in range(n):
        if not c'0' <= v[i] <= c'9':
            return -1
        x = x * 10 + (v[i] - c'0')
    return x

cdef int on_header(nghttp2_session* s, const nghttp2_frame* f, const uint8_t* name, size_t namelen, const uint8_t* v,
                   size_t n, uint8_t flags, void* user) noexcept nogil:
    cdef Batch* b
    if namelen == 12 and memcmp(name, b"content-type", 12) == 0:
        return 0
    b = <Batch*>nghttp2_session_get_stream_user_data(s, f.hd.stream_id)
    if b == NULL:
        return 0
    if namelen == 11 and memcmp(name, b"grpc-status", 11) == 0:
        b.status = number(v, n)
    elif namelen == 7 and memcmp(name, b":status", 7) == 0:
        b.http_status = <uint16_t>number(v, n)
    elif namelen == 12 and memcmp(name, b"grpc-message", 12) == 0 and b.message == NULL:
        b.message = strndup(<const char*>v, n if n < TEXT_MAX else TEXT_MAX)
    elif namelen == 23 and memcmp(name, b"grpc-status-details-bin", 23) == 0 and b.details == NULL and n <= TEXT_MAX:
        b.details = <uint8_t*>malloc(n + 1)
        if b.details != NULL:
            memcpy(b.details, v, n)
            b.details_len = n
    return 0

cdef int on_data_chunk(nghttp2_session* s, uint8_t flags, int32_t stream, const uint8_t* data, size_t n,
                       void* user) noexcept nogil:
    cdef Conn* c = <Conn*>user
    cdef Batch* b = <Batch*>nghttp2_session_get_stream_user_data(s, stream)
    cdef size_t cap
    cdef uint8_t* buf
    if b == NULL:
        return 0
    if b.answer_len + n > ANSWER_MAX:
        b.status = GRPC_RESOURCE_EXHAUSTED
        free(b.message)
        b.message = strdup(b"the backend's answer is larger than 4 MiB")
        nghttp2_submit_rst_stream(s, <uint8_t>NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL)
        mark_dirty(c)
        return 0
    if b.answer_len + n > b.answer_cap:
        buf = <uint8_t*>pool_get(&c.core.pool, b.answer_len + n, &cap)
        if buf == NULL:
            return NGHTTP2_ERR_CALLBACK_FAILURE
        if b.answer_len:
            memcpy(buf, b.answer, b.answer_len)
            pool_put(&c.core.pool, b.answer, b.answer_cap)
        b.answer = buf
        b.answer_cap = cap
    memcpy(b.answer + b.answer_len, data, n)
    b.answer_len += n
    return 0

cdef int on_frame(nghttp2_session* s, const nghttp2_frame* f, void* user) noexcept nogil:
    cdef Conn* c = <Conn*>user
    if f.hd.type == NGHTTP2_GOAWAY:
        c.draining = 1                # what is open ends here, the next call needs a new connection
    elif f.hd.type == NGHTTP2_PING and f.hd.flags & NGHTTP2_FLAG_ACK:
        c.ping_open -= c.ping_open > 0
    elif f.hd.type == NGHTTP2_SETTINGS and not f.hd.flags & NGHTTP2_FLAG_ACK:
        c.settled = 1
        c.max_streams = nghttp2_session_get_remote_settings(s, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
    return 0

cdef int on_stream_close(nghttp2_session* s, int32_t stream, uint32_t error, void* user) noexcept nogil:
    cdef Batch* b = <Batch*>nghttp2_session_get_stream_user_data(s, stream)
    if b != NULL:
        end_call(<Conn*>user, b, error, False)
    return 0

cdef void end_call(Conn* c, Batch* b, uint32_t error, bint lost) noexcept nogil:
    """The call is over: answered, reset, or gone with its connection."""
    cdef Backend* backend = b.backend
    list_remove(&backend.called, b)
    backend.in_flight -= 1
    b.state = BATCH_ANSWERED
    b.answered = 1
    b.h2_error = error
    b.conn_lost = lost
    b.unprocessed = error == <uint32_t>NGHTTP2_REFUSED_STREAM or not b.started
    list_push(&c.core.answered, b)

# ------------------------------------------------------------------ the call

cdef ssize_t read_batch(nghttp2_session* s, int32_t stream, uint8_t* buf, size_t n, uint32_t* flags,
                        nghttp2_data_source* source, void* user) noexcept nogil:
    """Promises bytes; send_data places them."""
    cdef Batch* b = <Batch*>source.ptr
    cdef size_t left = b.out_len + GRPC_PREFIX - b.promised
    if n >= left:
        n = left
        flags[0] |= NGHTTP2_DATA_FLAG_EOF
    b.promised += n
    flags[0] |= NGHTTP2_DATA_FLAG_NO_COPY
    return n

cdef int send_data(nghttp2_session* s, nghttp2_frame* f, const uint8_t* head, size_t n, nghttp2_data_source* source,
                   void* user) noexcept nogil:
    """Frame header copied, item bytes referred to; WOULDBLOCK when the output is full: the frame is asked for again."""
    cdef Output* out = (<Conn*>user).core.output
    cdef Batch* b = <Batch*>source.ptr
    cdef Chunk* chunk = b.place_chunk
    cdef size_t k, need = n, chunks = 1, room
    # as many iovecs as chunks: count first, nothing may be placed by halves
    room = chunk.len - b.place_offset if chunk != NULL else 0
    while chunk != NULL and room < need:
        need -= room
        chunk = chunk.next
        chunks += 1
        room = chunk.len if chunk != NULL else 0
    if out.n + chunks + 2 > MAX_IOV or out.used + 64 > OUTPUT_ARENA:
        out.blocked = 1
        return NGHTTP2_ERR_WOULDBLOCK
    b.started = 1
    output_copy(out, head, 9)
    if b.placed < GRPC_PREFIX:
        k = GRPC_PREFIX - b.placed
        if k > n:
            k = n
        output_copy(out, b.prefix + b.placed, k)
        b.placed += k
        n -= k
    while n:
        k = b.place_chunk.len - b.place_offset
        if k == 0:
            b.place_chunk = b.place_chunk.next
            b.place_offset = 0
            continue
        if k > n:
            k = n
        output_ref(out, b.place_chunk.data + b.place_offset, k)
        b.place_offset += k
        b.placed += k
        n -= k
    return 0

cdef ssize_t data_length(nghttp2_session* s, uint8_t kind, int32_t stream, int32_t window, int32_t stream_window,
                         uint32_t frame_max, void* user) noexcept nogil:
    cdef ssize_t n = FRAME_MAX
    if n > frame_max:
        n = frame_max
    if n > window:
        n = window
    if n > stream_window:
        n = stream_window
    return n

cdef bint client_submit(Conn* c, Batch* b) noexcept nogil:
    """Starts the call of a batch; False when the session takes no more streams (the batch stays as it is)."""
    cdef nghttp2_data_provider provider
    cdef nghttp2_nv* nv = <nghttp2_nv*>b.backend.headers
    cdef int32_t stream
    b.out_len = b.len if b.gzip_head == NULL else b.out_len
    write_prefix(b.prefix, b.gzip_head != NULL, b.out_len)
    b.promised = b.placed = 0
    b.place_chunk = b.gzip_head if b.gzip_head != NULL else b.head
    b.place_offset = 0
    b.started = b.answered = b.unprocessed = b.conn_lost = 0
    b.status = -1
    b.http_status = 0
    b.answer_len = 0
    nv[2].value = <uint8_t*>PATHS[b.signal]
    nv[2].valuelen = strlen(PATHS[b.signal])
    provider.source.ptr = b
    provider.read_callback = read_batch
    stream = nghttp2_submit_request(<nghttp2_session*>c.session, NULL, nv, b.backend.nheaders, &provider, b)
    if stream < 0:
        c.draining = 1                # stream ids used up, or the session is ending: closed when nothing is open
        mark_dirty(c)
        return False
    b.conn = c
    b.stream = stream
    b.state = BATCH_CALLED
    b.called_ns = c.core.now_ns
    b.tries += 1
    list_push(&b.backend.called, b)
    b.backend.in_flight += 1
    mark_dirty(c)
    return True

cdef void client_cancel(Conn* c, Batch* b) noexcept nogil:
    """Gives an open call up; it ends as answered once the RST_STREAM is out."""
    nghttp2_submit_rst_stream(<nghttp2_session*>c.session, <uint8_t>NGHTTP2_FLAG_NONE, b.stream, NGHTTP2_CANCEL)
    mark_dirty(c)

# ------------------------------------------------------------------ sessions

cdef bint client_open(Conn* c) noexcept nogil:
    cdef nghttp2_settings_entry settings[2]
    cdef nghttp2_session* s = NULL
    if nghttp2_session_client_new3(&s, CALLBACKS, c, OPTIONS, NULL) != 0:
        return False
    c.session = s
    if c.core.first_stream:
        nghttp2_session_set_next_stream_id(s, c.core.first_stream)
    c.max_streams = 100               # until its SETTINGS say otherwise
    settings[0].settings_id = NGHTTP2_SETTINGS_ENABLE_PUSH
    settings[0].value = 0
    settings[1].settings_id = NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE
    settings[1].value = CLIENT_STREAM_WINDOW
    nghttp2_submit_settings(s, <uint8_t>NGHTTP2_FLAG_NONE, settings, 2)
    nghttp2_session_set_local_window_size(s, <uint8_t>NGHTTP2_FLAG_NONE, 0, CLIENT_WINDOW)
    mark_dirty(c)
    return True

cdef ssize_t client_feed(Conn* c, const uint8_t* data, size_t n) noexcept nogil:
    cdef ssize_t used = nghttp2_session_mem_recv(<nghttp2_session*>c.session, data, n)
    if nghttp2_session_want_write(<nghttp2_session*>c.session):
        mark_dirty(c)
    return used

cdef void forget_conn(Conn* c, Batch* b) noexcept nogil:
    while b != NULL:
        if b.conn == c:
            b.conn = NULL
        b = b.next

cdef void client_close(Conn* c) noexcept nogil:
    """The connection is gone: its open calls end as lost."""
    cdef Batch* b = c.backend.called.head
    cdef Batch* next
    while b != NULL:
        next = b.next
        if b.conn == c:
            end_call(c, b, <uint32_t>NGHTTP2_INTERNAL_ERROR, True)
            b.conn = NULL
        b = next
    forget_conn(c, c.backend.waiting.head)
    forget_conn(c, c.core.failed.head)
    forget_conn(c, c.core.answered.head)
    if c.session != NULL:
        nghttp2_session_del(<nghttp2_session*>c.session)
        c.session = NULL

cdef void client_ping(Conn* c) noexcept nogil:
    nghttp2_submit_ping(<nghttp2_session*>c.session, <uint8_t>NGHTTP2_FLAG_NONE, NULL)
    c.ping_open += 1
    c.ping_ns = c.core.now_ns
    mark_dirty(c)

# ------------------------------------------------------------------ request headers

cdef bint set_headers(Backend* backend, list headers) except False:
    """headers: [(name, value)] in bytes; the third is :path and is filled in by each call.  The copy belongs to the backend."""
    cdef nghttp2_nv* nv = <nghttp2_nv*>calloc(len(headers), sizeof(nghttp2_nv))
    cdef bytes name, value
    cdef Py_ssize_t i
    if nv == NULL:
        raise MemoryError
    for i in range(len(headers)):
        name, value = headers[i]
        nv[i].name = <uint8_t*>strndup(<const char*>name, len(name))
        nv[i].namelen = len(name)
        nv[i].value = <uint8_t*>strndup(<const char*>value, len(value))
        nv[i].valuelen = len(value)
        nv[i].flags = <uint8_t>(NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE)
    nv[2].flags = <uint8_t>NGHTTP2_NV_FLAG_NO_COPY_NAME
    free(nv[2].value)
    nv[2].value = NULL
    backend.headers = nv
    backend.nheaders = <uint32_t>len(headers)
    return True

cdef void free_headers(Backend* backend) noexcept nogil:
    cdef nghttp2_nv* nv = <nghttp2_nv*>backend.headers
    cdef uint32_t i
    for i in range(backend.nheaders):
        free(nv[i].name)
        if i != 2:
            free(nv[i].value)
    free(nv)
    backend.headers = NULL
    backend.nheaders = 0

cdef void set_up() noexcept nogil:
    nghttp2_session_callbacks_new(&CALLBACKS)
    nghttp2_session_callbacks_set_on_header_callback(CALLBACKS, on_header)
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(CALLBACKS, on_data_chunk)
    nghttp2_session_callbacks_set_on_frame_recv_callback(CALLBACKS, on_frame)
    nghttp2_session_callbacks_set_on_stream_close_callback(CALLBACKS, on_stream_close)
    nghttp2_session_callbacks_set_send_data_callback(CALLBACKS, send_data)
    nghttp2_session_callbacks_set_data_source_read_length_callback(CALLBACKS, data_length)
    nghttp2_option_new(&OPTIONS)
    nghttp2_option_set_no_closed_streams(OPTIONS, 1)

set_up()
