"""The five bytes before a gRPC message: whether it is compressed, and its size, the most significant byte first.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md ("Length-Prefixed-Message")
"""
from libc.stdint cimport uint8_t, uint32_t

cdef inline uint32_t read_prefix(const uint8_t* p) noexcept nogil:
    """The size that five bytes at p tell of."""
    return (<uint32_t>p[1] << 24) | (<uint32_t>p[2] << 16) | (<uint32_t>p[3] << 8) | p[4]

cdef inline void write_prefix(uint8_t* p, bint compressed, size_t size) noexcept nogil:
    """Five bytes at p; size is below 2^32."""
    p[0] = compressed
    p[1] = size >> 24 & 255
    p[2] = size >> 16 & 255
    p[3] = size >> 8 & 255
    p[4] = size & 255
