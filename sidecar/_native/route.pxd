"""The routing table of a policy, as the stages of a tick see it."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from _tables cimport Tables
from _transition cimport Transition

cdef enum RouteMode:
    ROUTE_OWNING = 0          # every item to the owner of its slot
    ROUTE_SEQUENCE = 1        # every request whole to the next one of a sequence: (weighted) round robin
    ROUTE_LEAST = 2           # every request whole to the one with the smallest queue

cdef struct RoutingTable:     # belongs to one worker; primary, next and sequence are borrowed
    uint8_t mode
    uint32_t nowners
    const uint16_t* primary   # [65536]
    const uint16_t* next      # [65536][2]
    const uint16_t* sequence  # owners in turn; for ROUTE_LEAST the candidates
    uint32_t nsequence
    uint32_t turn             # the place in it that is next
    Transition* transition    # NULL outside of one
    uint64_t detoured         # items whose owner was down
    uint64_t stayed           # items kept with their trace's former owner

cdef class Routing:
    cdef RoutingTable table
    cdef const uint16_t[::1] primary
    cdef const uint16_t[:, ::1] after
    cdef const uint16_t[::1] sequence

cdef void assign_tick(Tables* t, RoutingTable* r) noexcept nogil
