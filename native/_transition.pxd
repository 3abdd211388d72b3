"""The memory of a transition: from the former table of a policy to the next, around the moment of the change."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy
from _wire cimport read_tag, skip_value

cdef enum:
    N_SLOTS = 65536
    PROBES = 64               # into the remembered hashes: whoever chooses trace ids to collide costs no more
    SPAN_START = 7 << 3 | 1   # Span.start_time_unix_nano, fixed64

cdef struct Transition:
    uint16_t* primary         # the former table in the owner numbers of the new one; own memory
    uint16_t* next
    uint64_t* known           # hashes of traces seen in moved slots, open addressing; 0 = free
    uint64_t mask
    uint64_t count
    uint64_t limit            # of count
    uint64_t passed_over      # sightings not remembered: the limit was reached
    int64_t effective_ns      # monotonic; before it the former table holds
    int64_t until_ns          # monotonic; from then on nothing is left of it
    uint64_t effective_unix_ns

cdef inline void transition_free(Transition* x) noexcept nogil:
    if x != NULL:
        free(x.primary)
        free(x.next)
        free(x.known)
        free(x)

cdef inline Transition* transition_new(uint32_t limit) noexcept nogil:
    """Blank tables and an empty memory for `limit` traces; NULL when the system has none."""
    cdef Transition* x = <Transition*>calloc(1, sizeof(Transition))
    if x == NULL:
        return NULL
    x.limit = limit
    x.mask = 1023
    while x.mask + 1 < 2 * x.limit:
        x.mask = x.mask << 1 | 1
    x.primary = <uint16_t*>malloc(N_SLOTS * 2)
    x.next = <uint16_t*>malloc(N_SLOTS * 4)
    x.known = <uint64_t*>calloc(x.mask + 1, 8)
    if x.primary == NULL or x.next == NULL or x.known == NULL:
        transition_free(x)
        return NULL
    return x

cdef inline bint known(const Transition* x, uint64_t h) noexcept nogil:
    cdef uint64_t i
    cdef int k
    h += not h
    for k in range(PROBES):
        i = (h + k) & x.mask
        if x.known[i] == h:
            return True
        if x.known[i] == 0:
            return False
    return False

cdef inline void remember(Transition* x, uint64_t h) noexcept nogil:
    cdef uint64_t i
    cdef int k
    h += not h
    for k in range(PROBES):
        i = (h + k) & x.mask
        if x.known[i] == h:
            return
        if x.known[i] == 0:
            if x.count == x.limit:
                break
            x.known[i] = h
            x.count += 1
            return
    x.passed_over += 1

cdef inline uint64_t start_unix_ns(const uint8_t* p, const uint8_t* e) noexcept nogil:
    """When a span started; of several fields the last one counts.  All ones if it does not say, or says 0."""
    cdef uint64_t v = ~<uint64_t>0
    cdef uint32_t tag
    while p < e:
        p = read_tag(p, e, &tag)
        if p == NULL:
            break
        if tag == SPAN_START and e - p >= 8:
            memcpy(&v, p, 8)
        p = skip_value(p, e, tag)
        if p == NULL:
            break
    return v if v else ~<uint64_t>0
