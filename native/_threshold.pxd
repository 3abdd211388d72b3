"""Rejection thresholds of OpenTelemetry's consistent probability sampling: an item is kept when R >= T.

R is 56 bits of randomness, T = 2^56 * (1 - probability).  T = 0 keeps everything; 2^56, which is no threshold that may
be written down, keeps nothing.
https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
"""
from libc.math cimport frexp, round
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    RANDOM_DIGITS = 14        # hex digits of R and T

cdef extern from * nogil:
    """
    #include <stdint.h>
    #define SG_RANDOM_END (1ull << 56)
    #define SG_ROOT_HALF 0xb504f333f9de6484ull   /* floor(2^64 / sqrt(2)) */
    static inline uint32_t sg_leading_zeros(uint64_t v) { return (uint32_t)__builtin_clzll(v); }
    """
    const uint64_t ROOT_HALF "SG_ROOT_HALF"
    uint32_t leading_zeros "sg_leading_zeros"(uint64_t v)      # of v > 0
    const uint64_t RANDOM_END "SG_RANDOM_END"   # one more than the highest R

cdef inline uint64_t probability_threshold(double p, int precision) noexcept nogil:
    """T of a probability, rounded to about `precision` hex digits.

    Near 0 and 1 digits are added, as the Collector does, so that the error stays relative to what is rare.  0 and what
    lies below the least probability keep nothing.
    """
    cdef int kept_exp, left_exp, digits, shift
    cdef uint64_t t
    if p >= 1:
        return 0
    if not p * <double>RANDOM_END >= 1:
        return RANDOM_END
    frexp(p, &kept_exp)
    frexp(1 - p, &left_exp)
    digits = precision + (-kept_exp if kept_exp < left_exp else -left_exp) // 4
    t = <uint64_t>RANDOM_END - <uint64_t>round(p * <double>RANDOM_END)
    if digits < RANDOM_DIGITS:
        shift = 4 * (RANDOM_DIGITS - digits)
        t = ((t + (<uint64_t>1 << (shift - 1))) >> shift) << shift
    return t

cdef inline uint64_t raised(uint64_t t, uint64_t by, int precision) noexcept nogil:
    """T after sampling in proportion with threshold `by` what passed t; never lower than t."""
    cdef uint64_t r
    if by == 0:
        return t
    if t == 0:
        return by
    r = probability_threshold(<double>(RANDOM_END - t) / <double>RANDOM_END * <double>(RANDOM_END - by)
                              / <double>RANDOM_END, precision)
    return r if r > t else t

cdef inline uint32_t halvings(uint64_t t) noexcept nogil:
    """k of the power 2^-k that is next to the probability of T < 2^56, in ratio: -log2 of it, rounded."""
    cdef uint64_t q = RANDOM_END - t
    cdef uint32_t zeros = leading_zeros(q)
    return zeros - 7 - (1 if q << zeros > ROOT_HALF else 0)

cdef inline uint32_t write_threshold(uint8_t* w, uint64_t t) noexcept nogil:
    """T as th has it: hex without trailing zeros, at most 14 digits; their number."""
    cdef uint32_t n = 0
    t <<= 8
    while True:
        w[n] = b"0123456789abcdef"[t >> 60]
        n += 1
        t <<= 4
        if t == 0:
            return n
