"""Tick: the requests of one pass through the pipeline, and their tables."""
from libc.stdint cimport int32_t, uint8_t, uint32_t
from _tables cimport Tables
from _work cimport Request
from sidecar._native.core cimport WorkerCore

cdef class Tick:
    cdef Tables tables
    cdef WorkerCore owner     # whose requests these are
    cdef list bodies          # bytes that were scanned where they lay
    cdef Request* made        # requests that were made in Python, by conn_next
    cdef Request* make(self, int signal, const uint8_t[::1] body, int prefix, bint gzip) except NULL
    cdef Request* find(self, int32_t number) except NULL

cdef bint scan_body(Tables* t, Request* r, const uint8_t* body, uint32_t n) noexcept nogil
cdef uint32_t scan_ready(Tables* t, size_t limit_bytes) noexcept nogil
