"""Loads, stores and fences of the C11 memory model, for words that two processes share."""
from libc.stdint cimport int64_t, uint64_t

cdef extern from * nogil:
    """
    #include <stdint.h>
    static inline uint64_t sg_load(const uint64_t* p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline void sg_store(uint64_t* p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
    static inline uint64_t sg_add(uint64_t* p, int64_t v) { return __atomic_add_fetch(p, (uint64_t)v, __ATOMIC_ACQ_REL); }
    static inline void sg_release(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }
    static inline void sg_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
    static inline void sg_prefetch(const void* p) { __builtin_prefetch(p, 0, 3); }
    """
    uint64_t load_acquire "sg_load"(const uint64_t* p)
    void store_release "sg_store"(uint64_t* p, uint64_t v)
    uint64_t add_fetch "sg_add"(uint64_t* p, int64_t v)   # returns the new value
    void fence_release "sg_release"()
    void fence_acquire "sg_acquire"()
    void prefetch "sg_prefetch"(const void* p)
