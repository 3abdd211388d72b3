"""Chunk lists: the bytes of outgoing messages, allocated once and never moved."""
from libc.stdint cimport uint8_t
from _pool cimport budget_force, budget_give, class_bytes, pool_get, pool_put
from _work cimport Chunk, Core

cdef extern from * nogil:
    """
    #include <stdio.h>
    #include <unistd.h>
    #include <string.h>
    static void sg_no_memory(void) {
        static const char words[] = "spangate: the system has no memory left; the worker ends\\n";
        if (write(2, words, sizeof words - 1) < 0) { }
        _exit(70);
    }
    """
    void no_memory "sg_no_memory"()

cdef inline void* take(Core* core, size_t n, size_t* cap) noexcept nogil:
    """Memory for what was admitted already; without it the worker ends and is restarted."""
    cdef void* p = pool_get(&core.pool, n, cap)
    if p == NULL:
        no_memory()
    budget_force(&core.pool, cap[0])
    return p

cdef inline void give(Core* core, void* p, size_t n) noexcept nogil:
    """Takes memory back; n is what was asked for, or the true size."""
    if p != NULL:
        budget_give(&core.pool, class_bytes(n))
        pool_put(&core.pool, p, n)

cdef inline Chunk* chunk_new(Core* core, size_t n) noexcept nogil:
    """Head and bytes in one buffer, so that the classes stay powers of two."""
    cdef size_t cap
    cdef Chunk* chunk = <Chunk*>take(core, n + sizeof(Chunk), &cap)
    chunk.data = <uint8_t*>chunk + sizeof(Chunk)
    chunk.len = 0
    chunk.cap = cap - sizeof(Chunk)
    chunk.next = NULL
    return chunk

cdef inline void chunks_free(Core* core, Chunk* chunk) noexcept nogil:
    cdef Chunk* next
    while chunk != NULL:
        next = chunk.next
        give(core, chunk, chunk.cap + sizeof(Chunk))
        chunk = next
