"""libnghttp2, as far as we use it: HPACK, framing, flow control and stream states are its work.
https://nghttp2.org/documentation/apiref.html (1.43 or newer; newer flood defences are looked up at build time)
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from * nogil:
    """
    #include <nghttp2/nghttp2.h>
    /* Defences that came with later versions: present at build time, or the session's own counters do the work. */
    #if NGHTTP2_VERSION_NUM >= 0x013900
    #define SG_HAS_RESET_LIMIT 1
    static inline void sg_reset_limit(nghttp2_option* o, uint64_t burst, uint64_t rate) { nghttp2_option_set_stream_reset_rate_limit(o, burst, rate); }
    #else
    #define SG_HAS_RESET_LIMIT 0
    static inline void sg_reset_limit(nghttp2_option* o, uint64_t burst, uint64_t rate) { (void)o; (void)burst; (void)rate; }
    #endif
    #if NGHTTP2_VERSION_NUM >= 0x013d00
    #define SG_HAS_CONTINUATION_LIMIT 1
    static inline void sg_continuation_limit(nghttp2_option* o, size_t n) { nghttp2_option_set_max_continuations(o, n); }
    #else
    #define SG_HAS_CONTINUATION_LIMIT 0
    static inline void sg_continuation_limit(nghttp2_option* o, size_t n) { (void)o; (void)n; }
    #endif
    #define SG_BUILT_WITH NGHTTP2_VERSION
    """
    int HAS_RESET_LIMIT "SG_HAS_RESET_LIMIT"
    int HAS_CONTINUATION_LIMIT "SG_HAS_CONTINUATION_LIMIT"
    const char* BUILT_WITH "SG_BUILT_WITH"
    void set_reset_limit "sg_reset_limit"(nghttp2_option*, uint64_t burst, uint64_t rate)
    void set_continuation_limit "sg_continuation_limit"(nghttp2_option*, size_t n)

cdef extern from "nghttp2/nghttp2.h" nogil:
    ctypedef struct nghttp2_session:
        pass
    ctypedef struct nghttp2_session_callbacks:
        pass
    ctypedef struct nghttp2_option:
        pass
    ctypedef struct nghttp2_info:
        int version_num
        const char* version_str
    ctypedef struct nghttp2_mem:
        void* mem_user_data
        void* (*malloc)(size_t, void*) noexcept nogil
        void (*free)(void*, void*) noexcept nogil
        void* (*calloc)(size_t, size_t, void*) noexcept nogil
        void* (*realloc)(void*, size_t, void*) noexcept nogil
    ctypedef struct nghttp2_frame_hd:
        size_t length
        int32_t stream_id
        uint8_t type
        uint8_t flags
    ctypedef struct nghttp2_headers:
        nghttp2_frame_hd hd
        int cat
    ctypedef struct nghttp2_rst_stream:
        nghttp2_frame_hd hd
        uint32_t error_code
    ctypedef struct nghttp2_goaway:
        nghttp2_frame_hd hd
        int32_t last_stream_id
        uint32_t error_code
    ctypedef union nghttp2_frame:
        nghttp2_frame_hd hd
        nghttp2_headers headers
        nghttp2_rst_stream rst_stream
        nghttp2_goaway goaway
    ctypedef struct nghttp2_nv:
        uint8_t* name
        uint8_t* value
        size_t namelen
        size_t valuelen
        uint8_t flags
    ctypedef union nghttp2_data_source:
        int fd
        void* ptr
    ctypedef ssize_t (*nghttp2_read_cb)(nghttp2_session*, int32_t, uint8_t*, size_t, uint32_t*, nghttp2_data_source*, void*) noexcept nogil
    ctypedef struct nghttp2_data_provider:
        nghttp2_data_source source
        nghttp2_read_cb read_callback
    ctypedef struct nghttp2_settings_entry:
        int32_t settings_id
        uint32_t value

    ctypedef int (*nghttp2_frame_cb)(nghttp2_session*, const nghttp2_frame*, void*) noexcept nogil
    ctypedef int (*nghttp2_frame_hd_cb)(nghttp2_session*, const nghttp2_frame_hd*, void*) noexcept nogil
    ctypedef int (*nghttp2_header_cb)(nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t, const uint8_t*, size_t, uint8_t, void*) noexcept nogil
    ctypedef int (*nghttp2_chunk_cb)(nghttp2_session*, uint8_t, int32_t, const uint8_t*, size_t, void*) noexcept nogil
    ctypedef int (*nghttp2_close_cb)(nghttp2_session*, int32_t, uint32_t, void*) noexcept nogil
    ctypedef int (*nghttp2_send_data_cb)(nghttp2_session*, nghttp2_frame*, const uint8_t*, size_t, nghttp2_data_source*, void*) noexcept nogil
    ctypedef ssize_t (*nghttp2_length_cb)(nghttp2_session*, uint8_t, int32_t, int32_t, int32_t, uint32_t, void*) noexcept nogil

    int NGHTTP2_DATA, NGHTTP2_HEADERS, NGHTTP2_RST_STREAM, NGHTTP2_SETTINGS, NGHTTP2_PING, NGHTTP2_GOAWAY
    int NGHTTP2_WINDOW_UPDATE, NGHTTP2_PRIORITY, NGHTTP2_CONTINUATION
    int NGHTTP2_FLAG_NONE, NGHTTP2_FLAG_END_STREAM, NGHTTP2_FLAG_ACK
    int NGHTTP2_HCAT_REQUEST, NGHTTP2_HCAT_RESPONSE
    int NGHTTP2_DATA_FLAG_EOF, NGHTTP2_DATA_FLAG_NO_END_STREAM, NGHTTP2_DATA_FLAG_NO_COPY
    int NGHTTP2_NV_FLAG_NO_COPY_NAME, NGHTTP2_NV_FLAG_NO_COPY_VALUE, NGHTTP2_NV_FLAG_NO_INDEX
    int NGHTTP2_SETTINGS_ENABLE_PUSH, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE
    int NGHTTP2_SETTINGS_MAX_FRAME_SIZE, NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE
    int NGHTTP2_NO_ERROR, NGHTTP2_CANCEL, NGHTTP2_REFUSED_STREAM, NGHTTP2_INTERNAL_ERROR, NGHTTP2_ENHANCE_YOUR_CALM
    int NGHTTP2_ERR_WOULDBLOCK, NGHTTP2_ERR_CALLBACK_FAILURE, NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE, NGHTTP2_ERR_DEFERRED

    nghttp2_info* nghttp2_version(int least)
    int nghttp2_session_callbacks_new(nghttp2_session_callbacks**)
    void nghttp2_session_callbacks_set_on_begin_headers_callback(nghttp2_session_callbacks*, nghttp2_frame_cb)
    void nghttp2_session_callbacks_set_on_begin_frame_callback(nghttp2_session_callbacks*, nghttp2_frame_hd_cb)
    void nghttp2_session_callbacks_set_on_header_callback(nghttp2_session_callbacks*, nghttp2_header_cb)
    void nghttp2_session_callbacks_set_on_data_chunk_recv_callback(nghttp2_session_callbacks*, nghttp2_chunk_cb)
    void nghttp2_session_callbacks_set_on_frame_recv_callback(nghttp2_session_callbacks*, nghttp2_frame_cb)
    void nghttp2_session_callbacks_set_on_frame_send_callback(nghttp2_session_callbacks*, nghttp2_frame_cb)
    void nghttp2_session_callbacks_set_on_stream_close_callback(nghttp2_session_callbacks*, nghttp2_close_cb)
    void nghttp2_session_callbacks_set_send_data_callback(nghttp2_session_callbacks*, nghttp2_send_data_cb)
    void nghttp2_session_callbacks_set_data_source_read_length_callback(nghttp2_session_callbacks*, nghttp2_length_cb)
    int nghttp2_option_new(nghttp2_option**)
    void nghttp2_option_set_no_auto_window_update(nghttp2_option*, int)
    void nghttp2_option_set_no_closed_streams(nghttp2_option*, int)
    void nghttp2_option_set_max_outbound_ack(nghttp2_option*, size_t)
    void nghttp2_option_set_max_settings(nghttp2_option*, size_t)
    void nghttp2_option_set_max_send_header_block_length(nghttp2_option*, size_t)
    int nghttp2_session_server_new3(nghttp2_session**, const nghttp2_session_callbacks*, void*, const nghttp2_option*, nghttp2_mem*)
    int nghttp2_session_client_new3(nghttp2_session**, const nghttp2_session_callbacks*, void*, const nghttp2_option*, nghttp2_mem*)
    void nghttp2_session_del(nghttp2_session*)
    ssize_t nghttp2_session_mem_recv(nghttp2_session*, const uint8_t*, size_t)
    ssize_t nghttp2_session_mem_send(nghttp2_session*, const uint8_t**)
    int nghttp2_session_want_write(nghttp2_session*)
    int nghttp2_session_want_read(nghttp2_session*)
    int nghttp2_session_terminate_session(nghttp2_session*, uint32_t)
    int nghttp2_session_consume(nghttp2_session*, int32_t, size_t)
    int nghttp2_session_consume_connection(nghttp2_session*, size_t)
    int nghttp2_session_consume_stream(nghttp2_session*, int32_t, size_t)
    int nghttp2_session_set_local_window_size(nghttp2_session*, uint8_t, int32_t, int32_t)
    int32_t nghttp2_session_get_last_proc_stream_id(nghttp2_session*)
    uint32_t nghttp2_session_get_remote_settings(nghttp2_session*, int)
    int nghttp2_submit_settings(nghttp2_session*, uint8_t, nghttp2_settings_entry*, size_t)
    int nghttp2_submit_response(nghttp2_session*, int32_t, nghttp2_nv*, size_t, nghttp2_data_provider*)
    int nghttp2_submit_trailer(nghttp2_session*, int32_t, nghttp2_nv*, size_t)
    int nghttp2_submit_rst_stream(nghttp2_session*, uint8_t, int32_t, uint32_t)
    int nghttp2_submit_ping(nghttp2_session*, uint8_t, const uint8_t*)
    int nghttp2_submit_shutdown_notice(nghttp2_session*)
    int nghttp2_submit_goaway(nghttp2_session*, uint8_t, int32_t, uint32_t, const uint8_t*, size_t)
    int nghttp2_session_set_next_stream_id(nghttp2_session*, int32_t)
    int32_t nghttp2_submit_request(nghttp2_session*, void*, nghttp2_nv*, size_t, nghttp2_data_provider*, void*)
    void* nghttp2_session_get_stream_user_data(nghttp2_session*, int32_t)
    int nghttp2_session_set_stream_user_data(nghttp2_session*, int32_t, void*)
