"""Bounded readers and writers of the protobuf wire format.

Strict as protobuf's own upb parser is: a tag has at most 5 bytes and 32 bits, field numbers are 1 .. 2^29-1, a length has
at most 5 bytes and stays inside its parent, groups must close with their own number.  Every reader takes the end of
its buffer and returns NULL where the input is not well formed; none reads outside p .. e.
https://protobuf.dev/programming-guides/encoding/
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    WT_VARINT = 0
    WT_FIXED64 = 1
    WT_LEN = 2
    WT_GROUP = 3
    WT_END_GROUP = 4
    WT_FIXED32 = 5
    MAX_DEPTH = 100

cdef inline const uint8_t* read_varint(const uint8_t* p, const uint8_t* e, uint64_t* v) noexcept nogil:
    """Any varint value: up to 10 bytes; bits above 64 are dropped."""
    cdef uint64_t r = 0
    cdef int shift = 0
    if p < e and p[0] < 128:
        v[0] = p[0]
        return p + 1
    while p < e and shift < 70:
        r |= <uint64_t>(p[0] & 127) << shift
        if p[0] < 128:
            v[0] = r
            return p + 1
        p += 1
        shift += 7
    return NULL

cdef inline const uint8_t* read_short(const uint8_t* p, const uint8_t* e, uint32_t* v) noexcept nogil:
    """A tag or a length: up to 5 bytes and 32 bits."""
    cdef uint64_t r
    cdef int i
    if p < e and p[0] < 128:
        v[0] = p[0]
        return p + 1
    if e - p >= 2 and p[1] < 128:
        v[0] = (p[0] & 127) | (<uint32_t>p[1] << 7)
        return p + 2
    r = 0
    for i in range(5):
        if p >= e:
            return NULL
        r |= <uint64_t>(p[0] & 127) << (7 * i)
        if p[0] < 128:
            if r > <uint64_t>0xffffffff:
                return NULL
            v[0] = <uint32_t>r
            return p + 1
        p += 1
    return NULL

cdef inline const uint8_t* read_tag(const uint8_t* p, const uint8_t* e, uint32_t* tag) noexcept nogil:
    """Field number << 3 | wire type; a field number of 0 is refused (2^29 and above do not fit 32 bits)."""
    p = read_short(p, e, tag)
    if p == NULL or tag[0] < 8:
        return NULL
    return p

cdef inline const uint8_t* read_len(const uint8_t* p, const uint8_t* e, uint32_t* n) noexcept nogil:
    """A length that fits into what is left: p .. p + n is readable afterwards."""
    p = read_short(p, e, n)
    if p == NULL or n[0] > <uint64_t>(e - p):
        return NULL
    return p

cdef inline const uint8_t* skip_group(const uint8_t* p, const uint8_t* e, uint32_t field) noexcept nogil:
    """Past the end-group tag of `field`; nested groups are followed to MAX_DEPTH, their numbers must match.

    Inside a group upb takes the field number 0 as well.
    """
    cdef uint32_t open_fields[MAX_DEPTH]
    cdef uint32_t tag, n
    cdef uint64_t v
    cdef int depth = 1
    open_fields[0] = field
    while p != NULL and p < e:
        p = read_short(p, e, &tag)
        if p == NULL:
            return NULL
        if tag & 7 == WT_END_GROUP:
            depth -= 1
            if open_fields[depth] != tag >> 3:
                return NULL
            if depth == 0:
                return p
        elif tag & 7 == WT_GROUP:
            if depth == MAX_DEPTH:
                return NULL
            open_fields[depth] = tag >> 3
            depth += 1
        elif tag & 7 == WT_VARINT:
            p = read_varint(p, e, &v)
        elif tag & 7 == WT_LEN:
            p = read_len(p, e, &n)
            if p != NULL:
                p += n
        elif tag & 7 == WT_FIXED64:
            p = p + 8 if e - p >= 8 else NULL
        elif tag & 7 == WT_FIXED32:
            p = p + 4 if e - p >= 4 else NULL
        else:
            return NULL
    return NULL

cdef inline const uint8_t* skip_value(const uint8_t* p, const uint8_t* e, uint32_t tag) noexcept nogil:
    """Past the value that follows `tag`."""
    cdef uint64_t v
    cdef uint32_t n
    cdef uint32_t wt = tag & 7
    if wt == WT_LEN:
        p = read_len(p, e, &n)
        return p + n if p != NULL else NULL
    if wt == WT_FIXED64:
        return p + 8 if e - p >= 8 else NULL
    if wt == WT_VARINT:
        return read_varint(p, e, &v)
    if wt == WT_FIXED32:
        return p + 4 if e - p >= 4 else NULL
    if wt == WT_GROUP:
        return skip_group(p, e, tag >> 3)
    return NULL

cdef inline uint32_t len_size(uint32_t v) noexcept nogil:
    """Bytes of the shortest varint of v."""
    if v < 128:
        return 1
    if v < 16384:
        return 2
    if v < 2097152:
        return 3
    return 4 if v < 268435456 else 5

cdef inline uint8_t* write_short(uint8_t* w, uint32_t v) noexcept nogil:
    while v >= 128:
        w[0] = <uint8_t>(v | 128)
        v >>= 7
        w += 1
    w[0] = <uint8_t>v
    return w + 1
