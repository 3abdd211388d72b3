"""The W3C tracestate of a span, and OpenTelemetry's member `ot` in it: reading th and rv, and writing th.

    tracestate = member *31("," member)      member = key "=" value, or nothing
    ot=th:8;rv:0123456789abcd;other:value

https://www.w3.org/TR/trace-context/#tracestate-header
https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy
from _threshold cimport RANDOM_DIGITS, write_threshold

cdef enum:
    STATE_MEMBERS = 32
    STATE_VALUE = 256         # bytes of a key or a value

cdef struct State:
    const uint8_t* text
    uint32_t size
    uint32_t ot_size
    const uint8_t* ot         # the value of the member; NULL = none, or not well formed
    const uint8_t* th         # as it was written
    uint32_t th_size          # 0 = none
    uint8_t has_rv
    uint8_t foreign           # other members are not well formed: nothing in it counts, and it may not be edited
    uint8_t faults            # something in it is not well formed
    uint64_t threshold        # of th
    uint64_t rand             # of rv

cdef struct Slice:
    const uint8_t* p
    const uint8_t* e

cdef inline bint next_part(Slice* rest, uint8_t separator, Slice* part) noexcept nogil:
    """Cuts off what is before the next separator; False when nothing is left."""
    cdef const uint8_t* q
    if rest.p == NULL:
        return False
    q = <const uint8_t*>memchr(rest.p, separator, rest.e - rest.p)
    part.p = rest.p
    part.e = q if q != NULL else rest.e
    rest.p = q + 1 if q != NULL else NULL
    return True

cdef inline bint next_member(Slice* rest, Slice* member) noexcept nogil:
    """The next member that is not empty, without the blanks around it."""
    while next_part(rest, c",", member):
        while member.p < member.e and (member.p[0] == c" " or member.p[0] == c"\t"):
            member.p += 1
        while member.p < member.e and ((member.e - 1)[0] == c" " or (member.e - 1)[0] == c"\t"):
            member.e -= 1
        if member.p < member.e:
            return True
    return False

cdef inline bint is_ot(const Slice* member) noexcept nogil:
    return member.e - member.p >= 3 and memcmp(member.p, b"ot=", 3) == 0

cdef inline bint lower(uint8_t c) noexcept nogil:
    return c"a" <= c <= c"z"

cdef inline bint digit(uint8_t c) noexcept nogil:
    return c"0" <= c <= c"9"

cdef inline bint member_sound(const Slice* member) noexcept nogil:
    cdef const uint8_t* p = member.p
    cdef const uint8_t* value
    if not (lower(p[0]) or digit(p[0])):
        return False
    while p < member.e and p[0] != c"=":
        if not (lower(p[0]) or digit(p[0]) or p[0] in (c"_", c"-", c"*", c"/", c"@")):
            return False
        p += 1
    if p == member.e or p - member.p > STATE_VALUE:
        return False
    value = p + 1
    if value == member.e or member.e - value > STATE_VALUE:
        return False
    p = value
    while p < member.e:
        if p[0] < 0x20 or p[0] > 0x7e or p[0] == c"=":
            return False
        p += 1
    return True

cdef inline bint read_hex(const uint8_t* p, const uint8_t* e, uint64_t* v) noexcept nogil:
    """1 to 14 lower-case hex digits, as if zeros followed to the 14th."""
    cdef uint64_t r = 0
    cdef int shift = 4 * RANDOM_DIGITS
    if p == e or e - p > RANDOM_DIGITS:
        return False
    while p < e:
        shift -= 4
        if digit(p[0]):
            r |= <uint64_t>(p[0] - c"0") << shift
        elif c"a" <= p[0] <= c"f":
            r |= <uint64_t>(p[0] - c"a" + 10) << shift
        else:
            return False
        p += 1
    v[0] = r
    return True

cdef inline bint pair_sound(const Slice* pair, const uint8_t** value) noexcept nogil:
    """key:value of an ot member; where the value begins."""
    cdef const uint8_t* p = pair.p
    if p == pair.e or not lower(p[0]):
        return False
    while p < pair.e and (lower(p[0]) or digit(p[0])):
        p += 1
    if p == pair.e or p[0] != c":":
        return False
    p += 1
    value[0] = p
    while p < pair.e:
        if not (lower(p[0]) or digit(p[0]) or c"A" <= p[0] <= c"Z" or p[0] in (c".", c"_", c"-")):
            return False
        p += 1
    return True

cdef inline bint pair_is(const Slice* pair, const char* key) noexcept nogil:
    """Whether the pair has this key of two letters."""
    return pair.e - pair.p >= 3 and memcmp(pair.p, key, 2) == 0 and pair.p[2] == c":"

cdef inline bint read_ot(State* st) noexcept nogil:
    """th and rv of st.ot; False when it is no list of pairs, or names one of the two twice."""
    cdef Slice rest, pair
    cdef const uint8_t* value
    cdef bint th = False, rv = False
    if st.ot_size > STATE_VALUE:
        return False
    rest.p = st.ot
    rest.e = st.ot + st.ot_size
    while next_part(&rest, c";", &pair):
        if not pair_sound(&pair, &value):
            return False
        if pair_is(&pair, b"th"):
            if th:
                return False
            th = True
            if read_hex(value, pair.e, &st.threshold):
                st.th = value
                st.th_size = <uint32_t>(pair.e - value)
            else:
                st.faults = 1
        elif pair_is(&pair, b"rv"):
            if rv:
                return False
            rv = True
            if pair.e - value == RANDOM_DIGITS and read_hex(value, pair.e, &st.rand):
                st.has_rv = 1
            else:
                st.faults = 1
    return True

cdef inline void read_state(State* st, const uint8_t* text, uint32_t size) noexcept nogil:
    """What the tracestate says about sampling.

    A th or rv that is not well formed counts as absent; with an ot member that is not, both do, and with another
    member that is not, all three.
    """
    cdef Slice rest, member
    cdef uint32_t members = 0
    cdef bint twice = False
    st.text = text
    st.size = size
    st.ot = NULL
    st.ot_size = st.th_size = 0
    st.has_rv = st.foreign = st.faults = 0
    rest.p = text
    rest.e = text + size
    while next_member(&rest, &member):
        members += 1
        if is_ot(&member):
            twice |= st.ot != NULL
            st.ot = member.p + 3
            st.ot_size = <uint32_t>(member.e - st.ot)
        elif not member_sound(&member):
            st.foreign = 1
    if members > STATE_MEMBERS:
        st.foreign = 1
    if st.foreign:
        st.ot = NULL
        st.faults = 1
    elif st.ot != NULL and (twice or not read_ot(st)):
        st.ot = NULL
        st.th_size = st.has_rv = 0
        st.faults = 1

cdef inline uint8_t* write_state(uint8_t* w, const State* st, uint64_t threshold) noexcept nogil:
    """The tracestate with ot first and th in it (without th when the threshold is 0); NULL when ot gets too long.

    Needs room for the old text and 32 bytes.  Other members keep their bytes and order; the last one gives way when
    they are 33.
    """
    cdef uint8_t* start = w
    cdef uint8_t* value
    cdef Slice rest, part
    cdef uint32_t members = 0
    memcpy(w, b"ot=", 3)
    w += 3
    value = w
    if threshold:
        memcpy(w, b"th:", 3)
        w += 3 + write_threshold(w + 3, threshold)
    rest.p = st.ot
    rest.e = st.ot + st.ot_size
    while next_part(&rest, c";", &part):
        if pair_is(&part, b"th") or (pair_is(&part, b"rv") and not st.has_rv):
            continue
        if w > value:
            w[0] = c";"
            w += 1
        memcpy(w, part.p, part.e - part.p)
        w += part.e - part.p
    if w - value > STATE_VALUE:
        return NULL
    if w == value:
        w = start
    else:
        members = 1
    rest.p = st.text
    rest.e = st.text + st.size
    while members < STATE_MEMBERS and next_member(&rest, &part):
        if is_ot(&part):
            continue
        if w > start:
            w[0] = c","
            w += 1
        memcpy(w, part.p, part.e - part.p)
        w += part.e - part.p
        members += 1
    return w
