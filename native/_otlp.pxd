"""OTLP on the wire: field numbers, and readers of what routing and sampling need to know.

Traces, logs, metrics and profiles have one shape, Export*Request 1 -> Resource* 2 -> Scope* 2 -> item, so that one walk
serves all four; only the items differ.  A reader answers False where the bytes it has to read are not well formed.
A known field with a wrong wire type is unknown, and every message may be cut in several that merge, as protobuf has it.
https://github.com/open-telemetry/opentelemetry-proto
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
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

cdef inline bint read_status(const uint8_t* p, const uint8_t* e, uint32_t* code) noexcept nogil:
    cdef uint32_t tag
    cdef uint64_t v
    while p < e:
        p = read_tag(p, e, &tag)
        if p == NULL:
            return False
        if tag == TAG_STATUS_CODE:
            p = read_varint(p, e, &v)
            if p == NULL:
                return False
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
    item.rand = 0
    item.state_off = item.state_end = item.flags = 0
    return True
