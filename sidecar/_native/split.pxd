"""split, for those who call it natively."""
from _tables cimport Tables

cdef void split_tick(Tables* t) noexcept nogil
