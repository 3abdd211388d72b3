"""gzip of messages, for scan and the outbox."""
from _work cimport Batch, Core, Request

cdef int inflate_body(Core* core, Request* r) noexcept nogil
cdef bint inflate_answer(Core* core, Batch* b) noexcept nogil
cdef void deflate_batch(Core* core, Batch* b) noexcept nogil
