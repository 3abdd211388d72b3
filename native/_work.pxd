"""The structs of work: a Request comes in, its items leave in Parts of Batches, through the Conns of one Core.

    Request --scan, sample, assign--> items --split--> Part in the pending Batch of each owner
    Batch --client call--> answer --settle--> every Part resolved --last one--> Request answered

A Request lives until its stream is closed, no Part refers to it and it is in no list.  A Batch lives until it is
answered and none of its bytes is in unsent output.  Everything here belongs to one worker and one thread.
"""
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset
from _ledger cimport Ledger
from _pool cimport Pool, budget_force, budget_give, pool_get, pool_put
from _posix cimport iovec

cdef enum:
    CHUNK_FIRST = 64 << 10
    CHUNK_NEXT = 256 << 10
    GRPC_PREFIX = 5
    MAX_IOV = 256
    OUTPUT_ARENA = 262144
    OUTPUT_SLACK = 20000      # room for the largest frame that is copied: a HEADERS block or 16 KB of DATA

cdef enum Signal:
    SIGNAL_TRACES = 0
    SIGNAL_LOGS = 1
    SIGNAL_METRICS = 2
    SIGNAL_PROFILES = 3
    SIGNAL_HEALTH = 4         # grpc.health.v1: answered at once, never scanned
    SIGNAL_NONE = 5           # an unknown method

cdef enum GrpcStatus:
    GRPC_OK = 0
    GRPC_CANCELLED = 1
    GRPC_UNKNOWN = 2
    GRPC_INVALID_ARGUMENT = 3
    GRPC_DEADLINE_EXCEEDED = 4
    GRPC_RESOURCE_EXHAUSTED = 8
    GRPC_UNIMPLEMENTED = 12
    GRPC_INTERNAL = 13
    GRPC_UNAVAILABLE = 14

cdef enum ConnKind:
    CONN_LISTENER = 0
    CONN_SERVER = 1
    CONN_CLIENT = 2
    CONN_TIMER = 3

cdef struct Request:
    Conn* conn                # NULL when the client is gone, or when there is no stream (a rerouted part)
    int32_t stream
    uint8_t signal
    uint8_t gzip              # the body is compressed
    uint8_t headers_done
    uint8_t queued            # in Core.ready or Core.replies
    uint8_t replied
    uint8_t judged            # sampled already: a rerouted part
    uint8_t refusing          # answered before its body was complete
    uint8_t half_closed
    uint8_t partial           # in Core.partials: its body is not complete
    # the body: one gRPC message with its prefix, until split has copied the items out
    uint8_t* body
    size_t len
    size_t cap
    size_t came_bytes         # received of the body, kept or not
    size_t owed_bytes         # received, flow-control credit not yet given back
    size_t booked_bytes       # of the gateway's budget
    size_t held_bytes         # that count for its connection's share
    int64_t arrived_ns
    int64_t deadline_ns       # monotonic; the budget of every part
    # what became of it
    uint32_t open_parts
    uint32_t ok_items         # units forwarded, sampled out or enqueued
    uint32_t refused_items    # units that nobody will ever take
    uint32_t retry_after_ms   # of a passing refusal
    uint8_t retryable         # some part failed for a passing reason
    uint8_t status            # GrpcStatus of a refusal for good
    uint16_t avoid            # 1 + owner that a rerouted part must not go back to
    char* note                # the words for the client; owned, from malloc
    Request* parent           # a rerouted part resolves a part of this one
    Request* next             # in Core.ready, or Core.replies
    Request* conn_next
    Request* conn_prev
    Request* partial_next     # in Core.partials
    Request* partial_prev

cdef struct Chunk:
    uint8_t* data
    size_t len
    size_t cap
    Chunk* next

cdef struct Entry:            # what a part holds, for the ledger
    uint16_t service
    uint32_t items            # in the signal's unit: spans, log records, data points

cdef struct Part:
    Request* request          # NULL once it was answered without this part
    Chunk* chunk              # where the part starts; it may run on into the next ones
    uint32_t offset
    uint32_t size
    uint32_t entry
    uint32_t entries
    uint32_t items
    int64_t deadline_ns
    uint8_t rerouted          # came from another owner
    uint8_t late              # given up and booked, the call is still open

cdef enum BatchState:
    BATCH_PENDING = 0         # gathers parts
    BATCH_CALLED = 1          # a call is open
    BATCH_ANSWERED = 2
    BATCH_WAITING = 3         # for its next try

cdef struct Batch:
    Backend* backend
    uint8_t signal
    uint8_t state
    uint8_t alone             # never merged: one part that must be named
    uint8_t started           # some byte of it went to the socket
    uint8_t answered          # the call is over, though bytes of it may still be unsent
    uint16_t http_status
    int16_t status            # GrpcStatus, -1 = none arrived
    uint32_t h2_error         # why the stream closed
    uint8_t conn_lost
    uint8_t unprocessed       # provably not seen by the backend
    uint32_t items
    uint32_t tries
    Chunk* head
    Chunk* tail
    size_t len
    Part* parts
    uint32_t nparts
    uint32_t cparts
    Entry* entries
    uint32_t nentries
    uint32_t centries
    int64_t first_ns          # when its first part came
    int64_t called_ns
    int64_t due_ns            # of the next try
    int64_t deadline_ns       # of the part that ends first
    # the call
    Conn* conn
    int32_t stream
    uint8_t prefix[5]
    Chunk* gzip_head          # the compressed form that goes out instead, if any
    size_t out_len            # bytes of the message that goes out
    size_t promised           # to nghttp2
    size_t placed             # in iovecs, prefix included
    Chunk* place_chunk
    size_t place_offset
    uint8_t* answer           # of the backend: body (message with prefix), bounded
    size_t answer_len
    size_t answer_cap
    char* message             # grpc-message, from malloc
    uint8_t* details          # grpc-status-details-bin as it arrived (base64), from malloc
    size_t details_len
    Batch* next               # in one of the lists of Core and Backend
    Batch* prev

cdef struct BatchList:
    Batch* head
    Batch* tail

cdef struct Backend:
    Backend* next
    uint16_t slot             # row in the figures of the page
    uint16_t owner            # number in the policy in use; OWNER_NONE when leaving
    uint8_t up                # may be chosen as an owner
    uint8_t leaving           # no longer a member: finishes what it has
    uint8_t gzip
    Conn* conn                # the one in use; NULL while not connected
    Batch* pending[4]         # by signal
    BatchList called
    BatchList waiting         # for their next try, or for a connection
    uint32_t in_flight
    uint32_t max_in_flight
    size_t queued_bytes
    size_t queue_limit_bytes
    size_t message_limit_bytes
    int64_t latency_ns        # moving average
    uint64_t good_calls       # answered OK
    int64_t paused_until_ns   # RetryInfo of the backend
    int64_t unmerged_until_ns # parts travel alone for a while
    void* headers             # nghttp2_nv[], see client.pyx
    uint32_t nheaders

cdef enum Ending:
    ENDING = 1                # closes when its output is out
    CUT_OFF = 2               # closes after what the socket takes at once

cdef struct Conn:
    int fd
    uint32_t watched          # what epoll looks for
    uint8_t kind
    uint8_t dead
    uint8_t dirty
    uint8_t connecting
    uint8_t draining          # GOAWAY announced, or received
    uint8_t closing           # an Ending, or 0
    uint8_t ping_open         # PINGs that are not answered yet
    uint8_t settled           # the peer's SETTINGS have come
    uint8_t announced         # its backend was said to be up
    uint8_t eof               # the peer has closed its side
    void* session             # nghttp2_session*
    Core* core
    Conn* next_dirty
    Conn* next_dead
    Conn* next                # all connections of a kind
    Conn* prev
    # output that the socket did not take
    iovec* unsent
    uint32_t nunsent
    uint32_t iunsent
    uint8_t* unsent_bytes
    Batch* parked             # answered while bytes of them are unsent
    int64_t born_ns
    int64_t expires_ns        # maximum age
    int64_t heard_ns          # last time bytes came
    int64_t ping_ns
    # server side
    Request* open
    uint32_t nopen
    size_t held_bytes         # of requests that are open, see _share.pxd
    uint32_t resets           # RST_STREAM received, decays
    uint32_t idle_frames      # frames that carry no work, decays
    size_t header_bytes       # of the header block being received
    Request* current          # cache of the last stream's request
    # client side
    Backend* backend
    uint32_t max_streams
    int error                 # errno of what broke it, 0 = none is known

cdef struct Output:           # of the connection that is being flushed; empty between flushes
    iovec iov[256]
    uint32_t n
    uint8_t arena[262144]     # frame headers, HEADERS, control frames; item bytes stay in their chunks
    uint32_t used
    uint8_t blocked           # a DATA frame found no room

cdef struct Core:
    Pool pool
    Ledger* ledger
    Output* output
    int64_t now_ns
    Request* ready            # complete bodies, in order of arrival
    Request** ready_tail
    size_t ready_bytes
    Request* partials         # with incomplete bodies, the oldest first
    Request* partials_tail
    size_t partial_bytes      # what they have booked
    Request* replies          # complete outcomes
    BatchList answered        # calls that ended well or badly, since the last settle
    BatchList failed          # for the policy of retries
    Conn* dirty
    Conn* dead
    Conn* servers
    Conn* clients
    Backend* backends         # all, leaving ones too
    Backend** owners          # by owner number of the policy in use
    uint32_t nowners
    uint64_t up[16]           # bitmap over owner numbers
    # limits and habits
    size_t message_limit_bytes
    size_t partial_limit_bytes  # for incomplete bodies all together; the oldest may go beyond
    size_t batch_limit_bytes
    uint32_t batch_limit_items
    uint64_t items_limit      # that may be in flight; 0 = as many as come
    int64_t batch_wait_ns     # the longest that a part gathers while all calls are in use
    int64_t pacing_ns         # least time between two rounds of small calls; 0 = none
    int64_t dispatched_ns     # when the last round was
    int64_t max_wait_ns       # of a request whose client waits
    int64_t queue_age_ns      # `ack: queued`: how long a part is tried
    int64_t margin_ns
    uint32_t retry_after_ms
    double soft_ratio
    uint8_t queued_ack        # `ack: queued`
    uint8_t may_duplicate     # a call that is not answered in half its time goes to the next owner as well
    uint8_t draining
    uint8_t serving           # what grpc.health.v1 says
    uint32_t max_streams
    int64_t max_age_ns
    int64_t max_age_grace_ns  # for requests that are open at that age
    int64_t keepalive_ns
    int64_t keepalive_timeout_ns
    int64_t stall_ns          # open calls and silence for so long: ask the backend for a sign of life
    uint32_t max_connections
    uint32_t nservers
    uint32_t nactive          # of them have requests open
    int32_t first_stream      # of a connection to a backend; 0 = as usual
    uint64_t rng

cdef inline void list_push(BatchList* l, Batch* b) noexcept nogil:
    b.next = NULL
    b.prev = l.tail
    if l.tail != NULL:
        l.tail.next = b
    else:
        l.head = b
    l.tail = b

cdef inline void list_remove(BatchList* l, Batch* b) noexcept nogil:
    if b.prev != NULL:
        b.prev.next = b.next
    else:
        l.head = b.next
    if b.next != NULL:
        b.next.prev = b.prev
    else:
        l.tail = b.prev
    b.next = b.prev = NULL

cdef inline Batch* list_pop(BatchList* l) noexcept nogil:
    cdef Batch* b = l.head
    if b != NULL:
        list_remove(l, b)
    return b

cdef inline void conn_link(Conn** conns, Conn* c) noexcept nogil:
    c.next = conns[0]
    if conns[0] != NULL:
        conns[0].prev = c
    conns[0] = c

cdef inline void conn_unlink(Conn** conns, Conn* c) noexcept nogil:
    if c.prev != NULL:
        c.prev.next = c.next
    else:
        conns[0] = c.next
    if c.next != NULL:
        c.next.prev = c.prev

cdef inline void mark_dirty(Conn* c) noexcept nogil:
    """The connection has, or may have, something to send: looked at once, at the end of the turn."""
    if not c.dirty:
        c.dirty = 1
        c.next_dirty = c.core.dirty
        c.core.dirty = c

cdef inline void mark_dead(Conn* c) noexcept nogil:
    """To be closed at the end of the turn: events of this turn may still name it."""
    if not c.dead:
        c.dead = 1
        c.next_dead = c.core.dead
        c.core.dead = c

cdef inline void partial_begin(Core* core, Request* r) noexcept nogil:
    """A body begins to come."""
    r.partial = 1
    r.partial_next = NULL
    r.partial_prev = core.partials_tail
    if core.partials_tail != NULL:
        core.partials_tail.partial_next = r
    else:
        core.partials = r
    core.partials_tail = r
    core.partial_bytes += r.booked_bytes

cdef inline void partial_end(Core* core, Request* r) noexcept nogil:
    """The body is complete, or nobody wants it any more; before its bytes are given back."""
    if not r.partial:
        return
    r.partial = 0
    core.partial_bytes -= r.booked_bytes
    if r.partial_prev != NULL:
        r.partial_prev.partial_next = r.partial_next
    else:
        core.partials = r.partial_next
    if r.partial_next != NULL:
        r.partial_next.partial_prev = r.partial_prev
    else:
        core.partials_tail = r.partial_prev

cdef inline void ready_push(Core* core, Request* r) noexcept nogil:
    r.queued = 1
    r.next = NULL
    core.ready_tail[0] = r
    core.ready_tail = &r.next
    core.ready_bytes += r.len

cdef inline void set_owner_up(Core* core, uint32_t owner, bint up) noexcept nogil:
    if up:
        core.up[owner >> 6] |= <uint64_t>1 << (owner & 63)
    else:
        core.up[owner >> 6] &= ~(<uint64_t>1 << (owner & 63))

cdef inline bint owner_up(const Core* core, uint32_t owner) noexcept nogil:
    return core.up[owner >> 6] >> (owner & 63) & 1
