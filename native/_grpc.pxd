"""gRPC's request headers: which service a path names, how long a deadline is.  Header fields as libnghttp2 wants them."""
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcmp
from _nghttp2 cimport NGHTTP2_NV_FLAG_NO_COPY_NAME, NGHTTP2_NV_FLAG_NO_COPY_VALUE, nghttp2_nv
from _outcome cimport strlen
from _work cimport SIGNAL_HEALTH, SIGNAL_LOGS, SIGNAL_METRICS, SIGNAL_NONE, SIGNAL_PROFILES, SIGNAL_TRACES

cdef inline void nv_const(nghttp2_nv* nv, const char* name, const char* value) noexcept nogil:
    nv.name = <uint8_t*>name
    nv.namelen = strlen(name)
    nv.value = <uint8_t*>value
    nv.valuelen = strlen(value)
    nv.flags = <uint8_t>(NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE)

cdef inline bint same(const uint8_t* v, size_t n, const char* words) noexcept nogil:
    return n == strlen(words) and memcmp(v, words, n) == 0

cdef inline uint8_t signal_of(const uint8_t* path, size_t n) noexcept nogil:
    if n == 59 and memcmp(path, b"/opentelemetry.proto.collector.trace.v1.TraceService/Export", n) == 0:
        return SIGNAL_TRACES
    if same(path, n, b"/opentelemetry.proto.collector.logs.v1.LogsService/Export"):
        return SIGNAL_LOGS
    if same(path, n, b"/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"):
        return SIGNAL_METRICS
    if same(path, n, b"/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"):
        return SIGNAL_PROFILES
    if same(path, n, b"/grpc.health.v1.Health/Check"):
        return SIGNAL_HEALTH
    return SIGNAL_NONE

cdef inline int64_t timeout_ns(const uint8_t* v, size_t n) noexcept nogil:
    """grpc-timeout: at most 8 digits and a unit; -1 where it is not well formed."""
    cdef int64_t t = 0
    cdef size_t i
    if n < 2 or n > 9:
        return -1
    for i in range(n - 1):
        if v[i] < c'0' or v[i] > c'9':
            return -1
        t = t * 10 + (v[i] - c'0')
    if v[n - 1] == c'n':
        return t
    if v[n - 1] == c'u':
        return t * 1000
    if v[n - 1] == c'm':
        return t * 1000000
    if v[n - 1] == c'S':
        return t * 1000000000
    if v[n - 1] == c'M':
        return t * 60 * 1000000000
    if v[n - 1] == c'H':
        return t * 3600 * 1000000000
    return -1
