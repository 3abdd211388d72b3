"""Sampling: a policy's thresholds, and the buckets of its limits."""
from _sampling cimport SamplingTable
from _tables cimport Tables

cdef class Sampling:
    cdef SamplingTable table

cdef void sample_tick(Tables* t, SamplingTable* s) noexcept nogil
