"""Weighted rendezvous hashing, filled into a table of 65,536 slots.

A member's score in a slot is -w / ln(u), with u a uniform hash of (slot, member) in 0 .. 1; the three members of the
highest score are the slot's first, second and third owner (Thaler and Ravishankar, "A name-based mapping scheme for
rendezvous", 1996; weights: Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005).  A member's share
is its weight over the sum of weights, and a change of one member moves nothing between two others.

Two gateways must agree on every slot, so nothing here is floating point but one correctly rounded division per member:
the logarithm is our own, in integers.  Kept is the reciprocal of the score, the *cost* -log2(u) / w, as a 128-bit
integer; equal costs are ordered by key.  The costs do not depend on each other, on the order of the members or on
their number.  Keys are read as little-endian words: all supported machines are.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from _hash cimport hash_bytes, mix64

cdef extern from *:
    """
    typedef unsigned __int128 sg_u128;
    static inline uint64_t sg_mulhi(uint64_t a, uint64_t b) { return (uint64_t)(((sg_u128)a * b) >> 64); }
    static inline sg_u128 sg_mul(uint64_t a, uint64_t b) { return (sg_u128)a * b; }
    static inline int64_t sg_mul63(int64_t a, int64_t b) { return (int64_t)(((__int128)a * b) >> 63); }
    static inline uint64_t sg_square63(uint64_t a, int* carry)
    {
        sg_u128 s = ((sg_u128)a * a) >> 63;
        *carry = (int)(s >> 64);
        return (uint64_t)(s >> *carry);
    }
    static inline uint64_t sg_reciprocal63(uint64_t a) { return (uint64_t)(((sg_u128)1 << 127) / a); }
    """
    ctypedef unsigned long long u128 "sg_u128"
    uint64_t mulhi "sg_mulhi"(uint64_t a, uint64_t b) noexcept nogil
    u128 mul "sg_mul"(uint64_t a, uint64_t b) noexcept nogil
    int64_t mul63 "sg_mul63"(int64_t a, int64_t b) noexcept nogil          # Q63 times Q63
    uint64_t square63 "sg_square63"(uint64_t a, int* carry) noexcept nogil # a Q63 in 1 .. 2, halved if the square is not
    uint64_t reciprocal63 "sg_reciprocal63"(uint64_t a) noexcept nogil     # 2^64 / a, as Q63
    int clz "__builtin_clzll"(uint64_t a) noexcept nogil

cdef enum:
    N_SLOTS = 65536
    N_MEMBERS = 1024          # MAX_BACKENDS of the ledger, and the bits of Core.up
    NOBODY = 0xffff

SLOTS = N_SLOTS
MEMBERS_MAX = N_MEMBERS
NONE = NOBODY
WEIGHT_MIN = 2.0 ** -14
WEIGHT_MAX = 2.0 ** 20

cdef int64_t LOG2_E = 6653256548922161246     # 1 / ln 2, Q62
cdef uint64_t SALT = <uint64_t>0x9e3779b97f4a7c15

cdef uint64_t log_reciprocal[256]             # Q64: of the middle of each 256th of 1 .. 2
cdef int64_t log_table[256]                   # Q57: -log2 of the same

cdef void fill_log_table() noexcept nogil:
    """-log2 digit by digit: squaring a number doubles its logarithm, and an overflow is the next binary digit."""
    cdef int i, k, carry = 0
    cdef uint64_t x
    cdef int64_t digits
    for i in range(256):
        log_reciprocal[i] = (<uint64_t>1 << 63) // (513 + 2 * i) << 10
        x = reciprocal63(log_reciprocal[i])
        digits = 0
        for k in range(57):
            x = square63(x, &carry)
            digits = digits << 1 | carry
        log_table[i] = digits

fill_log_table()

cdef inline uint64_t neg_log2(uint64_t x) noexcept nogil:
    """-log2(x / 2^64) as Q57, x > 0: exact to 2^-46, at least 1.

    x = 2^(63-e) * m with m in 1 .. 2; m = c(1 + r) with c the middle of its 256th; four terms of the series of ln(1 + r).
    """
    cdef int e = clz(x)
    cdef uint64_t m = x << e
    cdef int i = <int>(m >> 55 & 255)
    cdef int64_t r = <int64_t>(mulhi(m, log_reciprocal[i]) - (<uint64_t>1 << 63))
    cdef int64_t third = 3074457345618258602  # Q63
    cdef int64_t s = (<int64_t>1 << 62) - mul63(r, third - (r >> 2))
    cdef int64_t ln = r - mul63(r, mul63(r, s))
    cdef uint64_t whole = <uint64_t>(1 + e) << 57
    cdef int64_t part = log_table[i] + (mul63(ln, LOG2_E) >> 5)
    return whole - <uint64_t>part if <int64_t>(whole - 1 - <uint64_t>part) >= 0 else 1

cdef struct Candidates:
    size_t n
    uint64_t slack            # of the filter: what the error of neg_log2 can be worth
    uint64_t key[1024]
    uint64_t inverse[1024]    # 2^48 / weight
    uint16_t owner[1024]      # index of the member

cdef struct Podium:           # the best three so far
    u128 cost[3]
    uint64_t key[3]
    uint16_t owner[3]
    uint64_t bar              # a candidate whose mulhi(v, inverse) is above it cannot be among them

cdef inline void podium_clear(Podium* p) noexcept nogil:
    cdef int k
    for k in range(3):
        p.cost[k] = ~<u128>0
        p.key[k] = ~<uint64_t>0
        p.owner[k] = NOBODY
    p.bar = ~<uint64_t>0

cdef inline bint ahead(u128 cost, uint64_t key, const Podium* p, int k) noexcept nogil:
    return cost < p.cost[k] or (cost == p.cost[k] and key < p.key[k])

cdef inline void enter(Podium* p, u128 cost, uint64_t key, uint16_t owner, uint64_t slack) noexcept nogil:
    """Puts a candidate in its place, if it has one."""
    cdef int k = 2
    cdef uint64_t worst
    if not ahead(cost, key, p, 2):
        return
    while k > 0 and ahead(cost, key, p, k - 1):
        p.cost[k] = p.cost[k - 1]
        p.key[k] = p.key[k - 1]
        p.owner[k] = p.owner[k - 1]
        k -= 1
    p.cost[k] = cost
    p.key[k] = key
    p.owner[k] = owner
    # -log2(1 - v) >= v / ln 2: with v as Q64 and the cost's logarithm as Q57, v * inverse <= 2^7 ln 2 * cost = 88.7 * cost
    worst = <uint64_t>(p.cost[2] >> 64)
    p.bar = (worst + 1) * 89 + slack if worst < <uint64_t>1 << 56 else ~<uint64_t>0

cdef inline void consider(Podium* p, const Candidates* c, size_t j, uint64_t slot_hash) noexcept nogil:
    """The cheap bound first: of n candidates about 3 ln(n) need their logarithm."""
    cdef uint64_t x = mix64(c.key[j] ^ slot_hash) | 1
    if mulhi(0 - x, c.inverse[j]) <= p.bar:
        enter(p, mul(neg_log2(x), c.inverse[j]), c.key[j], c.owner[j], c.slack)

cdef inline uint64_t hash_slot(uint32_t slot) noexcept nogil:
    return mix64(slot + SALT)

cdef inline void fill_slot(Podium* p, const Candidates* c, uint32_t slot) noexcept nogil:
    cdef uint64_t slot_hash = hash_slot(slot)
    cdef size_t j
    podium_clear(p)
    for j in range(c.n):
        consider(p, c, j, slot_hash)

cdef inline void write_slot(const Podium* p, uint16_t* primary, uint16_t* next, uint32_t slot) noexcept nogil:
    primary[slot] = p.owner[0]
    next[2 * slot] = p.owner[1]
    next[2 * slot + 1] = p.owner[2]

cdef void fill_all(const Candidates* c, uint16_t* primary, uint16_t* next) noexcept nogil:
    cdef Podium p
    cdef uint32_t slot
    for slot in range(<uint32_t>N_SLOTS):
        fill_slot(&p, c, slot)
        write_slot(&p, primary, next, slot)

cdef void refill_all(const Candidates* all, const Candidates* changed, const uint16_t* place, const uint16_t* kept,
                     const uint16_t* old_primary, const uint16_t* old_next, uint16_t* primary,
                     uint16_t* next) noexcept nogil:
    """A slot whose three owners are unchanged can lose them only to changed members; any other is filled anew.

    kept: old owner -> new owner, NOBODY if it left or changed.  place: new owner -> its row in `all`.
    """
    cdef Podium p
    cdef uint32_t slot
    cdef uint16_t first, second, third
    cdef uint64_t slot_hash, x
    cdef size_t j
    cdef uint16_t[3] three
    cdef int k
    for slot in range(<uint32_t>N_SLOTS):
        first = kept[old_primary[slot]]
        second = kept[old_next[2 * slot]]
        third = kept[old_next[2 * slot + 1]]
        if first == NOBODY or second == NOBODY or third == NOBODY:
            fill_slot(&p, all, slot)
        else:
            three[0] = first
            three[1] = second
            three[2] = third
            slot_hash = hash_slot(slot)
            podium_clear(&p)
            for k in range(3):
                j = place[three[k]]
                x = mix64(all.key[j] ^ slot_hash) | 1
                enter(&p, mul(neg_log2(x), all.inverse[j]), all.key[j], three[k], all.slack)
            for j in range(changed.n):
                consider(&p, changed, j, slot_hash)
        write_slot(&p, primary, next, slot)

cdef int add_candidate(Candidates* c, uint64_t key, double weight, uint16_t owner) except -1:
    cdef uint64_t inverse
    if weight == 0:
        return 0
    if not WEIGHT_MIN <= weight <= WEIGHT_MAX:
        raise ValueError(f"weight {weight!r} is neither 0 nor within 2^-14 .. 2^20")
    inverse = <uint64_t>((<double>(<uint64_t>1 << 48)) / weight)
    c.key[c.n] = key
    c.inverse[c.n] = inverse
    c.owner[c.n] = owner
    if (inverse >> 46) + 1 > c.slack:
        c.slack = (inverse >> 46) + 1
    c.n += 1
    return 0

cdef int check_members(const uint64_t[::1] keys, const double[::1] weights) except -1:
    cdef Py_ssize_t i, j
    if keys.shape[0] != weights.shape[0]:
        raise ValueError(f"{keys.shape[0]} keys, but {weights.shape[0]} weights")
    if keys.shape[0] > N_MEMBERS:
        raise ValueError(f"{keys.shape[0]} members are more than {N_MEMBERS}")
    for i in range(keys.shape[0]):
        for j in range(i):
            if keys[i] == keys[j]:
                raise ValueError(f"members {j} and {i} have the same key")
    return 0

cdef int check_tables(Py_ssize_t primary, Py_ssize_t rows, Py_ssize_t columns) except -1:
    if primary != N_SLOTS or rows != N_SLOTS or columns != 2:
        raise ValueError(f"the tables are [{primary}] and [{rows}][{columns}], not [{N_SLOTS}] and [{N_SLOTS}][2]")
    return 0

def identity_key(const uint8_t[::1] identity not None):
    """The key of a member's identity."""
    return hash_bytes(&identity[0], identity.shape[0]) if identity.shape[0] else hash_bytes(NULL, 0)

def fill(uint16_t[::1] primary not None, uint16_t[:, ::1] after not None, const uint64_t[::1] keys not None,
         const double[::1] weights not None):
    """Every slot's three owners, best first; NONE where there are fewer."""
    cdef Candidates* c
    cdef Py_ssize_t i
    check_tables(primary.shape[0], after.shape[0], after.shape[1])
    check_members(keys, weights)
    c = <Candidates*>malloc(sizeof(Candidates))
    if c == NULL:
        raise MemoryError
    try:
        c.n = 0
        c.slack = 0
        for i in range(keys.shape[0]):
            add_candidate(c, keys[i], weights[i], <uint16_t>i)
        with nogil:
            fill_all(c, &primary[0], &after[0, 0])
    finally:
        free(c)

def refill(uint16_t[::1] primary not None, uint16_t[:, ::1] after not None, const uint64_t[::1] keys not None,
           const double[::1] weights not None, const uint16_t[::1] old_primary not None,
           const uint16_t[:, ::1] old_after not None, const uint64_t[::1] old_keys not None,
           const double[::1] old_weights not None):
    """The same as fill(), from the tables that fill() made of the old members: costs what has changed.

    The old tables must not be the new ones.
    """
    cdef Candidates* c                        # all members; then those that changed
    cdef uint16_t kept[65536]
    cdef uint16_t place[1024]
    cdef Py_ssize_t i, j
    cdef dict old = {}
    check_tables(primary.shape[0], after.shape[0], after.shape[1])
    check_tables(old_primary.shape[0], old_after.shape[0], old_after.shape[1])
    check_members(keys, weights)
    check_members(old_keys, old_weights)
    for i in range(N_SLOTS):
        kept[i] = NOBODY
    for i in range(old_keys.shape[0]):
        old[old_keys[i]] = i
    c = <Candidates*>malloc(2 * sizeof(Candidates))
    if c == NULL:
        raise MemoryError
    try:
        c[0].n = c[1].n = 0
        c[0].slack = c[1].slack = 0
        for i in range(keys.shape[0]):
            place[i] = <uint16_t>c[0].n
            add_candidate(&c[0], keys[i], weights[i], <uint16_t>i)
            j = old.get(keys[i], -1)
            if j >= 0 and old_weights[j] == weights[i]:
                kept[j] = <uint16_t>i
            else:
                add_candidate(&c[1], keys[i], weights[i], <uint16_t>i)
        with nogil:
            refill_all(&c[0], &c[1], place, kept, &old_primary[0], &old_after[0, 0], &primary[0], &after[0, 0])
    finally:
        free(c)
