"""WorkerCore, for every kernel that works on a worker's state."""
from libc.stdint cimport uint8_t, uint64_t
from _ledger cimport Page
from _work cimport Core

cdef class WorkerCore:
    cdef Core* c
    cdef object page
    cdef object budget
    cdef uint8_t[::1] page_view
    cdef uint64_t[::1] budget_view
    cdef object met           # who wants to know of new services, or None
    cdef uint64_t told        # services that are known there
    cdef int attach(self, Page* page) except -1
    cdef int tell(self) except -1
