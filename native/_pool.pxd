"""Recycled memory with a byte budget: what bodies, batches and their chunks are made of.

Buffers come in classes of powers of two from 512 bytes; each class keeps a LIFO list, so that the warmest buffer is
handed out next.  What lies in the lists is bounded, above that it goes back to the allocator.

The budget belongs to the whole gateway: `shared_used` is one word in shared memory.  A worker takes from it in slabs,
so that the word is not touched for every request; what a worker holds stands in its own page (`taken`), from where
the supervisor gives it back when the worker dies.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from _atomic cimport add_fetch, load_acquire

cdef enum:
    CLASS_MIN = 9             # 512 bytes
    CLASS_MAX = 31
    BUDGET_SLAB = 1 << 20

cdef struct Pool:
    void* spare[32]           # LIFO list by class; the first word of a spare buffer is the next one
    size_t spare_bytes
    size_t spare_limit_bytes
    size_t live_bytes         # handed out, class sizes
    uint64_t live_count
    int64_t slack_bytes       # taken from the gateway's budget, not handed out
    uint64_t* taken_bytes     # by this worker, in its page
    uint64_t* shared_used     # by all workers
    uint64_t* shared_limit

cdef inline int size_class(size_t n) noexcept nogil:
    cdef int k = CLASS_MIN
    while (<size_t>1 << k) < n:
        k += 1
    return k

cdef inline bint budget_take(Pool* pool, size_t n) noexcept nogil:
    """Whether n bytes fit into the gateway's budget; they are booked if so."""
    cdef uint64_t slab
    if pool.slack_bytes < <int64_t>n:
        slab = (n // BUDGET_SLAB + 1) * BUDGET_SLAB
        if add_fetch(pool.shared_used, <int64_t>slab) > load_acquire(pool.shared_limit):
            add_fetch(pool.shared_used, -<int64_t>slab)
            return False
        pool.slack_bytes += slab
        pool.taken_bytes[0] += slab
    pool.slack_bytes -= n
    return True

cdef inline void budget_force(Pool* pool, size_t n) noexcept nogil:
    """Books n bytes over the limit if need be: for what has been admitted already and must be finished."""
    cdef uint64_t slab
    if pool.slack_bytes < <int64_t>n:
        slab = (n // BUDGET_SLAB + 1) * BUDGET_SLAB
        add_fetch(pool.shared_used, <int64_t>slab)
        pool.slack_bytes += slab
        pool.taken_bytes[0] += slab
    pool.slack_bytes -= n

cdef inline void budget_give(Pool* pool, size_t n) noexcept nogil:
    cdef uint64_t slabs
    pool.slack_bytes += n
    if pool.slack_bytes >= 4 * BUDGET_SLAB:
        slabs = (pool.slack_bytes // BUDGET_SLAB - 1) * BUDGET_SLAB
        pool.slack_bytes -= slabs
        pool.taken_bytes[0] -= slabs
        add_fetch(pool.shared_used, -<int64_t>slabs)

cdef inline double budget_ratio(const Pool* pool) noexcept nogil:
    """Used share of the gateway's budget, 0 .. 1 and a little above; what this worker has taken and not used is free."""
    return <double>(<int64_t>load_acquire(pool.shared_used) - pool.slack_bytes) / <double>load_acquire(pool.shared_limit)

cdef inline void* pool_get(Pool* pool, size_t n, size_t* cap) noexcept nogil:
    """A buffer of at least n bytes, its true size in cap[0]; NULL when the system has no memory."""
    cdef int k = size_class(n)
    cdef void* p = pool.spare[k]
    cdef size_t size = <size_t>1 << k
    if p != NULL:
        pool.spare[k] = (<void**>p)[0]
        pool.spare_bytes -= size
    else:
        p = malloc(size)
        if p == NULL:
            return NULL
    cap[0] = size
    pool.live_bytes += size
    pool.live_count += 1
    return p

cdef inline size_t class_bytes(size_t n) noexcept nogil:
    """What a buffer asked for with n bytes really takes."""
    return <size_t>1 << size_class(n)

cdef inline void pool_put(Pool* pool, void* p, size_t n) noexcept nogil:
    """Takes a buffer back; n is what was asked for, or what pool_get said."""
    cdef int k = size_class(n)
    cdef size_t cap = <size_t>1 << k
    pool.live_bytes -= cap
    pool.live_count -= 1
    if pool.spare_bytes + cap > pool.spare_limit_bytes:
        free(p)
        return
    (<void**>p)[0] = pool.spare[k]
    pool.spare[k] = p
    pool.spare_bytes += cap

cdef inline void pool_drain(Pool* pool) noexcept nogil:
    """Gives every spare buffer back to the allocator."""
    cdef int k
    cdef void* p
    for k in range(CLASS_MIN, CLASS_MAX + 1):
        while pool.spare[k] != NULL:
            p = pool.spare[k]
            pool.spare[k] = (<void**>p)[0]
            free(p)
    pool.spare_bytes = 0
