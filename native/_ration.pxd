"""What the limits of a policy leave of a tick: thresholds for all its services, or how long a request has to wait."""
from libc.stdint cimport uint32_t, uint64_t
from _limit cimport Bucket, Limits, bucket_of_service, fill, pause_ms, settle_limits
from _sampling cimport Rule, SamplingTable, rule_of
from _tables cimport Doc, Resource, Tables
from _threshold cimport RANDOM_END, raised
from _work cimport SIGNAL_TRACES

cdef inline void ration(Tables* t, SamplingTable* s) noexcept nogil:
    """The limits' thresholds of this tick, from the spans in it and the share of them that is to be kept anyway."""
    cdef Limits* l = s.limits
    cdef Bucket* b
    cdef const Doc* d
    cdef const Resource* resource
    cdef const Rule* rule
    cdef uint64_t threshold
    cdef uint32_t i, k
    fill(&l.total, l.per_s, l.burst, t.core.now_ns)
    for i in range(t.ndocs):
        d = &t.docs[i]
        if d.request.judged or not s.signals >> d.request.signal & 1:
            continue
        for k in range(d.resource0, d.resource0 + d.resources):
            resource = &t.resources[k]
            b = bucket_of_service(l, resource.service, t.core.now_ns)
            if d.request.signal == SIGNAL_TRACES:
                rule = rule_of(s, resource.service)
                threshold = raised(rule.threshold, s.shed[rule.traffic_class], s.precision)
                b.expected += <double>resource.units * (<double>(RANDOM_END - threshold) / <double>RANDOM_END)
    settle_limits(l, s.precision)

cdef inline uint32_t wait_ms(Tables* t, const Doc* d, Limits* l) noexcept nogil:
    """How long a request has to wait for the limits that it counts against; 0 when they have room."""
    cdef uint32_t i, service, ms, most = pause_ms(&l.total, l.per_s)
    for i in range(d.resource0, d.resource0 + d.resources):
        ms = pause_ms(&l.services[t.resources[i].service], l.service_per_s)
        if ms > most:
            most = ms
    return most
