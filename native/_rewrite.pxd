"""How items and the fields around them go into an output: as they came, or with an edit."""
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy
from _tables cimport Doc, Edit, Item, Tables
from _wire cimport len_size, write_short

cdef enum:
    TAG_ITEMS = 0x12          # spans, log_records, metrics: field 2

cdef inline uint32_t item_size(const Tables* t, const Item* it) noexcept nogil:
    """Bytes of an item in the output, tag and length included."""
    cdef Edit* edit
    cdef uint32_t n
    if it.edit == 0:
        return it.end - it.off
    edit = &t.edits[it.edit - 1]
    n = it.end - it.content - (edit.cut_end - edit.cut_off) + edit.add_size
    return 1 + len_size(n) + n

cdef inline uint8_t* write_item(const Tables* t, const uint8_t* body, const Item* it, uint8_t* w) noexcept nogil:
    """An edited item: its content without the cut, then the addition."""
    cdef Edit* edit = &t.edits[it.edit - 1]
    cdef uint32_t cut = edit.cut_end - edit.cut_off
    cdef uint32_t n = it.end - it.content
    w[0] = TAG_ITEMS
    w = write_short(w + 1, n - cut + edit.add_size)
    if cut:
        n = edit.cut_off - it.content
        memcpy(w, body + it.content, n)
        w += n
        n = it.end - edit.cut_end
        memcpy(w, body + edit.cut_end, n)
    else:
        memcpy(w, body + it.content, n)
    w += n
    memcpy(w, t.arena + edit.add_off, edit.add_size)
    return w + edit.add_size

cdef inline uint8_t* write_frags(const Tables* t, const uint8_t* body, uint32_t first, uint32_t n, uint8_t* w) noexcept nogil:
    cdef uint32_t i, size
    for i in range(first, first + n):
        size = t.frags[i].end - t.frags[i].off
        memcpy(w, body + t.frags[i].off, size)
        w += size
    return w

cdef inline size_t frag_bytes(const Tables* t, const Doc* d) noexcept nogil:
    cdef size_t n = 0
    cdef uint32_t i
    for i in range(d.frag0, d.frag0 + d.frags):
        n += t.frags[i].end - t.frags[i].off
    return n
