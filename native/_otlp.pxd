"""OTLP on the wire: field numbers, and readers of what routing and sampling need to know.

Traces, logs, metrics and profiles have one shape, Export*Request 1 -> Resource* 2 -> Scope* 2 -> item, so that one walk
serves all four; only the items differ.  A reader answers False where the bytes it has to read are not well formed.
A known field with a wrong wire type is unknown, and every message may be cut in several that merge, as protobuf has it.
https://github.com/open-telemetry/opentelemetry-proto
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp
from _tables cimport Item
from _wire cimport read_len, read_tag, read_varint, skip_value

cdef extern from * nogil:
    """
    static inline unsigned long long sg_bswap(unsigned long long v) { return __builtin_bswap64(v); }
    """
    uint64_t big_endian "sg_bswap"(uint64_t v)

cdef enum:                    # field number << 3 | wire type
    TAG_RESOURCES = 0x0a      # of a request
    TAG_RESOURCE = 0x0a       # of Resource*
    TAG_SCOPES = 0x12         # of Resource*
    TAG_OLD_SCOPES = 8002     # of Resource*: field 1000, what scopes were before 2022
    TAG_ITEMS = 0x12          # of Scope*
    TAG_ATTRIBUTES = 0x0a     # of Resource
    TAG_KEY = 0x0a            # of KeyValue
    TAG_VALUE = 0x12          # of KeyValue
    TAG_SPAN_ID = 0x0a        # trace_id of Span
    TAG_SPAN_STATE = 0x1a     # trace_state of Span
    TAG_SPAN_STATUS = 0x7a    # status of Span
    TAG_STATUS_CODE = 0x18    # code of Status
    TAG_LOG_ID = 0x4a         # trace_id of LogRecord
    TAG_DATA_POINTS = 0x0a    # of Gauge, Sum, Histogram, ExponentialHistogram, Summary
    TAG_NONE = 0
    STATUS_ERROR = 2
    STATE_PREFIX = 0x1a       # the byte before a Span's trace_state, when we write one

cdef struct Text:
    const uint8_t* p          # NULL = there is none
    uint32_t n

cdef inline bint merge_value(const uint8_t* p, const uint8_t* e, Text* text) noexcept nogil:
    """One AnyValue into what earlier ones gave: its last member holds; text.p is NULL when that is no string."""
    cdef uint32_t tag, n
    while p < e:
        p = read_tag(p, e, &tag)
        if p == NULL:
            return False
        if tag == 0x0a:
            p = read_len(p, e, &n)
            if p == NULL:
                return False
            text.p = p
            text.n = n
            p += n
            continue
        p = skip_value(p, e, tag)
        if p == NULL:
            return False
        if tag in (0x10, 0x18, 0x21, 0x2a, 0x32, 0x3a, 0x40):
            text.p = NULL
    return True

cdef inline bint read_attribute(const uint8_t* p, const uint8_t* e, Text* key, Text* value) noexcept nogil:
    """The last key and the merged value of a KeyValue."""
    cdef uint32_t tag, n
    key.p = value.p = NULL
    key.n = value.n = 0
    while p < e:
        p = read_tag(p, e, &tag)
        if p == NULL:
            return False
        if tag == TAG_KEY or tag == TAG_VALUE:
            p = read_len(p, e, &n)
            if p == NULL:
                return False
            if tag == TAG_KEY:
                key.p = p
                key.n = n
            elif not merge_value(p, p + n, value):
                return False
            p += n
        else:
            p = skip_value(p, e, tag)
            if p == NULL:
                return False
    return True

cdef inline bint read_service(const uint8_t* p, const uint8_t* e, Text* name, bint* found) noexcept nogil:
    """service.name of one Resource message: the first attribute of that key decides, also over several messages."""
    cdef uint32_t tag, n
    cdef Text key, value
    while p < e:
        p = read_tag(p, e, &tag)
        if p == NULL:
            return False
        if tag == TAG_ATTRIBUTES:
            p = read_len(p, e, &n)
            if p == NULL:
                return False
            if not found[0]:
                if not read_attribute(p, p + n, &key, &value):
                    return False
                if key.n == 12 and memcmp(key.p, b"service.name", 12) == 0:
                    found[0] = True
                    name[0] = value
            p += n
        else:
            p = skip_value(p, e, tag)
            if p == NULL:
                return False
    return True

cdef inline bint read_status(const uint8_t* p, const uint8_t* e, uint32_t* code) noexcept nogil:
    cdef uint32_t tag
    cdef uint64_t v
    while p < e:
        p = read_tag(p, e, &tag)
        if p == NULL:
            return False
        if tag == TAG_STATUS_CODE:
            p = read_varint(p, e, &v)
            code[0] = <uint32_t>v
        else:
            p = skip_value(p, e, tag)
        if p == NULL:
            return False
    return True

cdef inline bint count_points(const uint8_t* p, const uint8_t* e, uint32_t* points) noexcept nogil:
    cdef uint32_t tag
    while p < e:
        p = read_tag(p, e, &tag)
        if p != NULL:
            p = skip_value(p, e, tag)
        if p == NULL:
            return False
        if tag == TAG_DATA_POINTS:
            points[0] += 1
    return True

cdef inline bint read_metric(Item* item, const uint8_t* b) noexcept nogil:
    """The Metric at b + item.content .. item.end: framing and the number of data points.

    Its five kinds of data are members of a oneof: the last kind holds, and messages of one kind in a row merge.
    """
    cdef const uint8_t* p = b + item.content
    cdef const uint8_t* e = b + item.end
    cdef uint32_t tag, n, kind = 0, points = 0
    while p < e:
        p = read_tag(p, e, &tag)
        if p == NULL:
            return False
        if tag in (0x2a, 0x3a, 0x4a, 0x52, 0x5a):    # gauge, sum, histogram, exponential_histogram, summary
            p = read_len(p, e, &n)
            if p == NULL:
                return False
            if tag != kind:
                kind = tag
                points = 0
            if not count_points(p, p + n, &points):
                return False
            p += n
        else:
            p = skip_value(p, e, tag)
            if p == NULL:
                return False
    item.units = points
    return True
