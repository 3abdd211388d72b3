"""SamplingTable: thresholds of a policy, as the data plane reads them."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from _tables cimport Tables

cdef enum TrafficClass:       # what is shed together
    CLASS_HIGH = 0            # by the priority of the service
    CLASS_NORMAL = 1
    CLASS_LOW = 2
    CLASS_ERRORS = 3          # items with an error, whatever their service
    CLASSES = 4

cdef struct SamplingTable:    # thresholds are 0 (keep all) .. 2^56 (keep none)
    uint64_t threshold        # of services that have none of their own
    uint64_t* services        # [SERVICES] by ledger id, or NULL
    uint8_t* classes          # [SERVICES] by ledger id, or NULL: CLASS_NORMAL
    uint64_t shed[4]          # by class: sampled in proportion on top
    uint32_t signals          # 1 << signal of those that are sampled
    int precision             # hex digits of thresholds that come out of a product

cdef class Sampling:
    cdef SamplingTable table

cdef void sample_tick(Tables* t, SamplingTable* s) noexcept nogil
