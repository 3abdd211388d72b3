"""64-bit mixers for routing.

Only routing uses them.  Sampling never does: its randomness is the trace id's own (OpenTelemetry probability
sampling, "TraceState: rv" and the low 56 bits of the trace id), so that every sampler of a trace agrees.
"""
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

cdef inline uint64_t mix64(uint64_t x) noexcept nogil:
    """The finalizer of "rrmxmx" kind by Pelle Evensen / moremur: a bijection, every input bit flips half of the output."""
    x ^= x >> 32
    x *= <uint64_t>0xd6e8feb86659fd93
    x ^= x >> 32
    x *= <uint64_t>0xd6e8feb86659fd93
    x ^= x >> 32
    return x

cdef inline uint64_t hash_trace(const uint8_t* id16) noexcept nogil:
    """The routing key of a 16-byte trace id."""
    cdef uint64_t a, b
    memcpy(&a, id16, 8)
    memcpy(&b, id16 + 8, 8)
    return mix64(b ^ mix64(a))

cdef inline uint64_t hash_bytes(const uint8_t* p, size_t n) noexcept nogil:
    """The routing key of anything else: a Resource, a span without a trace id, a service name."""
    cdef uint64_t h = <uint64_t>0x9e3779b97f4a7c15 ^ n, w
    while n >= 8:
        memcpy(&w, p, 8)
        h = mix64(h ^ w)
        p += 8
        n -= 8
    if n:
        w = 0
        memcpy(&w, p, n)
        h = mix64(h ^ w)
    return mix64(h)
