"""Limits on what is kept: token buckets that raise thresholds, or have requests refused.

A bucket fills with `per_s` tokens a second up to its burst; an item that is kept takes one, and the bucket may go into
debt.  With a debt of D only the share exp(-D / S) is let through, S being what the limit gives in SMOOTH_S.  The debt
for a load r over a limit L then follows

    dD/dt = r exp(-D / S) - L         and settles, within SMOOTH_S whatever r is, at D = S ln(r / L)

so that L is kept and the first second keeps hardly more.  The share does not know which items come: adjusted counts
stay true.  n items that come at once are taken as if they came one by one: dD/dn = exp(-D / S), and so

    D' = S ln(exp(D / S) + n / S)     of them D' - D are kept
"""
from libc.math cimport ceil, exp, log1p
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from _threshold cimport probability_threshold

cdef extern from * nogil:
    """
    #define SG_SMOOTH_S 0.05
    """
    const double SMOOTH_S "SG_SMOOTH_S"

cdef struct Bucket:
    double level              # tokens; a debt when below 0
    double expected           # items of this tick that would be kept without limits
    int64_t filled_ns         # monotonic; 0 = it has not been used yet, and is full
    uint64_t by               # threshold that this tick is sampled by, in proportion
    uint8_t listed            # in Limits.listed

cdef struct Limits:           # of one worker; buckets outlive the policy, see Sampling.follow
    double per_s              # 0 = no limit
    double burst
    double service_per_s      # 0 = no limit
    double service_burst
    uint8_t refuse            # requests are refused instead
    Bucket total
    Bucket services[1001]     # by ledger id
    uint16_t listed[1001]     # those of this tick
    uint32_t nlisted

cdef inline double smoothed(double per_s) noexcept nogil:
    """S of a limit, in items."""
    return per_s * SMOOTH_S if per_s * SMOOTH_S > 1 else 1

cdef inline void fill(Bucket* b, double per_s, double burst, int64_t now_ns) noexcept nogil:
    """What has come in since the last time.  A bucket holds SMOOTH_S of its limit at least, or ticks would lose some."""
    if burst < smoothed(per_s):
        burst = smoothed(per_s)
    if b.filled_ns == 0:
        b.level = burst
    elif now_ns > b.filled_ns:
        b.level += per_s * <double>(now_ns - b.filled_ns) * 1e-9
    if b.level > burst:
        b.level = burst
    b.filled_ns = now_ns

cdef inline double share_of(const Bucket* b, double n, double per_s) noexcept nogil:
    """The share that is let through of n items that come now."""
    cdef double s = smoothed(per_s)
    if n <= b.level:
        return 1
    if b.level > 0:
        return (b.level + s * log1p((n - b.level) / s)) / n
    if n < 1e-6 * s:
        return exp(b.level / s)
    return s * log1p(n / s * exp(b.level / s)) / n

cdef inline Bucket* bucket_of_service(Limits* l, uint32_t service, int64_t now_ns) noexcept nogil:
    """The bucket of a service, filled and listed."""
    cdef Bucket* b = &l.services[service]
    if not b.listed:
        b.listed = 1
        b.expected = 0
        l.listed[l.nlisted] = <uint16_t>service
        l.nlisted += 1
        if l.service_per_s > 0:
            fill(b, l.service_per_s, l.service_burst, now_ns)
    return b

cdef inline void settle_limits(Limits* l, int precision) noexcept nogil:
    """The thresholds of this tick, from what is expected of every service that is listed."""
    cdef Bucket* b
    cdef double share = 1, total = 1, sum = 0
    cdef uint32_t i
    for i in range(l.nlisted):
        b = &l.services[l.listed[i]]
        share = share_of(b, b.expected, l.service_per_s) if l.service_per_s > 0 else 1
        sum += b.expected * share
        b.expected = share
    if l.per_s > 0:
        total = share_of(&l.total, sum, l.per_s)
    for i in range(l.nlisted):
        b = &l.services[l.listed[i]]
        b.by = probability_threshold(b.expected * total, precision)
        b.listed = 0
    l.nlisted = 0

cdef inline void spend(Limits* l, uint32_t service, uint64_t kept) noexcept nogil:
    l.total.level -= <double>kept
    l.services[service].level -= <double>kept

cdef inline uint32_t pause_ms(const Bucket* b, double per_s) noexcept nogil:
    """How long until the debt of a bucket is paid; 0 when it has none."""
    cdef double ms
    if per_s <= 0 or b.level >= 0:
        return 0
    ms = ceil(-b.level / per_s * 1000)
    return <uint32_t>ms if ms < 86400000 else 86400000
