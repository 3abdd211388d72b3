"""The page of one worker in shared memory, and how the data plane writes into it.

One writer, many readers.  A row's identity

    received = forwarded + sum(sampled_out) + rejected + sum(dropped) + in_flight

holds at any instant for a reader: all words of one change are written inside one odd sequence number (a seqlock per
row), and in_flight is counted like the others, never derived.  The page outlives the worker, so that the supervisor
can book what a crashed one had in flight.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy
from _atomic cimport fence_release, store_release
from _hash cimport hash_bytes

cdef enum:
    SIGNALS = 4
    SERVICES = 1001           # id 0 is "_other"
    NAME_BYTES = 256
    MAX_BACKENDS = 1024       # owners
    BACKEND_ROWS = 1153       # and as many as change at a time; the last one is for all that have none of their own
    DURATION_BUCKETS = 28     # bucket k counts durations below 2^k microseconds
    SIZE_BUCKETS = 24         # bucket k counts batches of fewer than 2^k items
    INTERN_SLOTS = 4096
    ARRIVED = 16              # probabilities that are told apart
    PAGE_MAGIC = 0x53504731   # "SPG1"

cdef enum:                    # Cause: whose threshold is the highest of those that an item has failed
    CAUSE_RATE = 0            # the rate of its service
    CAUSE_LIMIT = 1
    CAUSE_SHED = 2
    CAUSE_UPSTREAM = 3        # the one that it came with
    CAUSES = 4

cdef enum:                    # why something is dropped
    DROP_CLIENT_GONE = 0      # nobody waits for an answer any more and memory is short, or its last try failed
    DROP_BACKEND_REFUSED = 1  # refused for good after the client had its OK
    DROP_BACKEND_PARTIAL = 2  # partial_success of a backend on a merged batch
    DROP_EXPIRED = 3          # `ack: queued`: out of time
    DROP_SHUTDOWN = 4         # the drain ran out of time
    DROP_WORKER_CRASH = 5
    DROP_REASONS = 6

cdef enum:                    # how a request was answered
    OUT_OK = 0
    OUT_PARTIAL = 1
    OUT_UNAVAILABLE = 2
    OUT_INVALID = 3
    OUT_TOO_LARGE = 4
    OUT_UNIMPLEMENTED = 5
    OUT_OTHER = 6
    OUT_GONE = 7              # the client left before its answer
    OUTCOMES = 8

cdef struct Row:
    uint64_t seq              # odd while the row is being written
    uint64_t received
    uint64_t in_flight
    uint64_t forwarded
    uint64_t sampled_out[4]   # by Cause
    uint64_t rejected
    uint64_t dropped[6]
    uint64_t requests         # Resource* messages that named the service: mostly one a request

cdef struct ServiceFigures:   # of the spans of a service, beside its row; each word is read for itself
    uint64_t errors           # received with an error status
    uint64_t kept             # by sampling, whatever became of them
    uint64_t kept_bytes       # a resource that is kept in part counts in proportion
    uint64_t arrived[16]      # [k - 1]: received with a th, when their probability was about 2^-k; the last and rarer

cdef struct SignalFigures:
    uint64_t requests
    uint64_t outcomes[8]
    uint64_t outcome_bytes[8] # of bodies, as far as they had come
    uint64_t duration_sum_ns
    uint64_t duration[28]
    uint64_t batches
    uint64_t batch_items
    uint64_t batch_size[24]

cdef struct BackendFigures:
    uint64_t key              # of the address, so that a reader knows whose figures these are
    uint64_t up
    uint64_t connects
    uint64_t calls
    uint64_t failed_calls
    uint64_t items[4]         # accepted, by signal
    uint64_t failed_items[4]  # refused for good, or given up here
    uint64_t rejected_items   # by partial_success
    uint64_t sent_bytes
    uint64_t retried          # parts sent again to the same backend
    uint64_t rerouted         # parts handed on to the next owner
    uint64_t queued_bytes
    uint64_t in_flight
    uint64_t latency_ns       # moving average of the time from a call to its answer
    uint64_t latency[28]      # answers within 2^k microseconds

cdef struct WorkerFigures:
    uint64_t turns
    uint64_t connections      # open now
    uint64_t accepted
    uint64_t accept_errors
    uint64_t protocol_errors  # connections closed for what they sent
    uint64_t trace_id_missing # spans without a usable trace id
    uint64_t old_field        # ResourceSpans field 1000 stripped
    uint64_t tracestate_bad   # malformed or inconsistent tracestates
    uint64_t forwarded_late   # items a backend took after their client had been told UNAVAILABLE
    uint64_t live_buffers
    uint64_t live_bytes
    uint64_t detoured         # items sent to the next owner of their slot, their own being down here
    uint64_t over_limit       # items of requests that were refused because a limit was used up
    uint64_t fell_back        # items kept in the own region, nobody of the one that a rule names being up
    uint64_t split_by_rules   # items that a routing rule parts from others of their trace
    uint64_t spare

cdef struct Page:
    uint64_t magic
    uint64_t page_bytes
    uint64_t pid
    uint64_t heartbeat_ns     # monotonic clock
    uint64_t generation       # of the policy in use
    uint64_t taken_bytes      # of the gateway's byte budget
    uint64_t services         # ids in use; a name is written before its id is counted
    uint64_t state            # the supervisor's and the worker's: see worker.py
    WorkerFigures worker
    SignalFigures signals[4]
    BackendFigures backends[1153] # [BACKEND_ROWS]
    char names[1001][256]
    Row rows[4004]            # [signal][service]
    ServiceFigures spans[1001]

cdef struct Ledger:
    Page* page
    uint64_t hashes[1001]
    uint16_t slots[4096]      # open addressing; 0 = free
    uint64_t in_flight        # items, of all rows

cdef inline Row* ledger_row(Ledger* ledger, uint32_t signal, uint32_t service) noexcept nogil:
    return &ledger.page.rows[signal * SERVICES + service]

cdef inline void row_begin(Row* row) noexcept nogil:
    row.seq += 1
    fence_release()

cdef inline void row_end(Row* row) noexcept nogil:
    store_release(&row.seq, row.seq + 1)

cdef inline uint64_t row_sampled_out(const Row* row) noexcept nogil:
    """Whatever the cause."""
    return row.sampled_out[0] + row.sampled_out[1] + row.sampled_out[2] + row.sampled_out[3]

cdef inline void book_kept(Ledger* ledger, uint32_t signal, uint32_t service, uint64_t n) noexcept nogil:
    """n items came in, and all are in flight."""
    cdef Row* row = ledger_row(ledger, signal, service)
    row_begin(row)
    row.requests += 1
    row.received += n
    row.in_flight += n
    row_end(row)
    ledger.in_flight += n

cdef inline uint64_t book_received(Ledger* ledger, uint32_t signal, uint32_t service, uint64_t n,
                                   const uint64_t* sampled_out, uint64_t rejected) noexcept nogil:
    """n items came in; some are dealt with at once (sampled_out: by Cause), the rest is in flight: its number."""
    cdef Row* row = ledger_row(ledger, signal, service)
    cdef uint64_t left = n - rejected - sampled_out[0] - sampled_out[1] - sampled_out[2] - sampled_out[3]
    cdef int k
    row_begin(row)
    row.requests += 1
    row.received += n
    row.rejected += rejected
    for k in range(CAUSES):
        row.sampled_out[k] += sampled_out[k]
    row.in_flight += left
    row_end(row)
    ledger.in_flight += left
    return left

cdef inline void book_forwarded(Ledger* ledger, uint32_t signal, uint32_t service, uint64_t n) noexcept nogil:
    cdef Row* row = ledger_row(ledger, signal, service)
    row_begin(row)
    row.in_flight -= n
    row.forwarded += n
    row_end(row)
    ledger.in_flight -= n

cdef inline void book_rejected(Ledger* ledger, uint32_t signal, uint32_t service, uint64_t n) noexcept nogil:
    cdef Row* row = ledger_row(ledger, signal, service)
    row_begin(row)
    row.in_flight -= n
    row.rejected += n
    row_end(row)
    ledger.in_flight -= n

cdef inline void book_dropped(Ledger* ledger, uint32_t signal, uint32_t service, uint64_t n,
                              uint32_t reason) noexcept nogil:
    cdef Row* row = ledger_row(ledger, signal, service)
    row_begin(row)
    row.in_flight -= n
    row.dropped[reason] += n
    row_end(row)
    ledger.in_flight -= n

cdef inline uint32_t ledger_service(Ledger* ledger, const uint8_t* name, size_t n) noexcept nogil:
    """The id of a service name, given out at first sight; 0 ("_other") when 1,000 names are known already.

    Names longer than NAME_BYTES - 1 are told apart by their hash and shown cut.
    """
    cdef uint64_t h = hash_bytes(name, n)
    cdef uint32_t i = <uint32_t>(h >> 52), k
    cdef uint64_t known
    cdef size_t shown = n if n < NAME_BYTES else NAME_BYTES - 1
    while True:
        k = ledger.slots[i]
        if k == 0:
            break
        if ledger.hashes[k] == h and memcmp(ledger.page.names[k], name, shown) == 0 and (
                shown == NAME_BYTES - 1 or ledger.page.names[k][shown] == 0):
            return k
        i = (i + 1) & (INTERN_SLOTS - 1)
    known = ledger.page.services
    if known == SERVICES:
        return 0
    memcpy(ledger.page.names[known], name, shown)
    ledger.page.names[known][shown] = 0
    ledger.hashes[known] = h
    ledger.slots[i] = <uint16_t>known
    store_release(&ledger.page.services, known + 1)
    return <uint32_t>known

cdef inline uint32_t bucket_of(uint64_t v, uint32_t buckets) noexcept nogil:
    """The smallest k with v < 2^k, at most buckets - 1."""
    cdef uint32_t k = 0
    while v and k < buckets - 1:
        v >>= 1
        k += 1
    return k
