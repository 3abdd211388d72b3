"""SamplingTable: what a policy asks of services and classes.  Thresholds are 0 (keep all) .. 2^56 (keep none)."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from _limit cimport Limits

cdef enum:                    # class of traffic: what is shed together
    CLASS_HIGH = 0            # by the priority of the service
    CLASS_NORMAL = 1
    CLASS_LOW = 2
    CLASS_ERRORS = 3          # items with an error, whatever their service
    CLASSES = 4

cdef struct Rule:             # of one service
    uint64_t threshold        # equalizing
    uint8_t traffic_class
    uint8_t cause             # whom it is charged to: a Cause

cdef struct SamplingTable:
    Rule rule                 # of services that have none of their own
    Rule* services            # [SERVICES] by ledger id, or NULL
    Limits* limits            # or NULL
    uint64_t shed[4]          # by class: sampled in proportion on top
    uint32_t signals          # 1 << signal of those that are sampled
    int precision             # hex digits of thresholds that come out of a product

cdef inline const Rule* rule_of(const SamplingTable* s, uint32_t service) noexcept nogil:
    if s.services != NULL:
        return &s.services[service]
    return &s.rule
