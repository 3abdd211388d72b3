"""What a worker routes by, for the stages of a tick."""
from libc.stdint cimport uint16_t, uint32_t
from _area cimport Area
from _assign cimport RoutingTable

cdef class Table:
    cdef readonly int mode
    cdef readonly uint32_t owners
    cdef const uint16_t[::1] primary
    cdef const uint16_t[:, ::1] after
    cdef const uint16_t[::1] sequence

cdef class Routing:
    cdef RoutingTable table
    cdef tuple tables
    cdef Area* area(self, uint32_t number) except NULL
