"""Edits of spans: a new tracestate behind the fields that there are, in place of the old one.

protobuf takes fields in any order, so that a span without a tracestate gets one by having bytes appended, and all spans
that get the same one share row and bytes.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove
from _otlp cimport STATE_PREFIX, TAG_SPAN_STATE
from _tables cimport ITEM_STATE_TWICE, Edit, Item, Tables, arena_room, grown
from _threshold cimport write_threshold
from _tracestate cimport State, write_state
from _wire cimport read_tag, skip_value, write_short

cdef struct Shared:           # the edit of all items that have no tracestate and get the same one
    uint64_t threshold
    uint32_t edit

cdef struct Recent:           # the last tracestate that was read: the spans of a trace have the same one
    State st
    uint64_t threshold        # that was written last
    uint32_t add_off          # what was written for it
    uint32_t add_size
    bint written

cdef inline uint32_t add_edit(Tables* t, uint32_t cut_off, uint32_t cut_end, uint32_t add_off,
                              uint32_t add_size) noexcept nogil:
    """1 + row of an edit; 0 when the system has no memory."""
    cdef void* rows = grown(t.edits, t.nedits, &t.cedits, sizeof(Edit))
    cdef Edit* edit
    if rows == NULL:
        return 0
    t.edits = <Edit*>rows
    edit = &t.edits[t.nedits]
    edit.cut_off = cut_off
    edit.cut_end = cut_end
    edit.add_off = add_off
    edit.add_size = add_size
    t.nedits += 1
    return t.nedits

cdef inline uint32_t shared_edit(Tables* t, Shared* shared, uint64_t threshold) noexcept nogil:
    """The edit that adds `ot=th:...` to an item without a tracestate."""
    cdef uint8_t* w
    cdef uint32_t n
    if shared.edit and shared.threshold == threshold:
        return shared.edit
    if not arena_room(t, 32):
        return 0
    w = t.arena + t.narena
    n = write_threshold(w + 8, threshold)
    w[0] = STATE_PREFIX
    w[1] = <uint8_t>(n + 6)
    memcpy(w + 2, b"ot=th:", 6)
    t.narena += n + 8
    shared.threshold = threshold
    shared.edit = add_edit(t, 0, 0, t.narena - n - 8, n + 8)
    return shared.edit

cdef inline bint add_state(Tables* t, const State* st, uint64_t threshold) noexcept nogil:
    """The field with the new tracestate into the arena, nothing if it came out empty; False when it got too long."""
    cdef uint8_t* w
    cdef uint8_t* e
    cdef uint32_t n
    if not arena_room(t, st.size + 40):
        return False
    w = t.arena + t.narena
    e = write_state(w + 6, st, threshold)
    if e == NULL:
        return False
    n = <uint32_t>(e - w - 6)
    if n:
        w[0] = STATE_PREFIX
        e = write_short(w + 1, n)
        memmove(e, w + 6, n)
        t.narena += <uint32_t>(e + n - w)
    return True

cdef inline bint add_rest(Tables* t, const uint8_t* b, const Item* item) noexcept nogil:
    """The item's content without any tracestate into the arena; its framing has been checked."""
    cdef const uint8_t* p = b + item.content
    cdef const uint8_t* e = b + item.end
    cdef const uint8_t* s
    cdef uint32_t tag
    if not arena_room(t, item.end - item.content):
        return False
    while p < e:
        s = p
        p = read_tag(p, e, &tag)
        if p != NULL:
            p = skip_value(p, e, tag)
        if p == NULL:
            return False
        if tag != TAG_SPAN_STATE:
            memcpy(t.arena + t.narena, s, p - s)
            t.narena += <uint32_t>(p - s)
    return True

cdef inline uint32_t state_edit(Tables* t, const uint8_t* b, const Item* item, Recent* recent,
                                uint64_t threshold) noexcept nogil:
    """The edit that gives a span with tracestate its new one; 0 when it must stay as it is."""
    cdef uint32_t start = t.narena
    if item.flags & ITEM_STATE_TWICE:
        if add_rest(t, b, item) and add_state(t, &recent.st, threshold):
            return add_edit(t, item.content, item.end, start, t.narena - start)
        t.narena = start
        return 0
    if not recent.written or recent.threshold != threshold:
        if not add_state(t, &recent.st, threshold):
            return 0
        recent.written = True
        recent.threshold = threshold
        recent.add_off = start
        recent.add_size = t.narena - start
    return add_edit(t, item.state_off, item.state_end, recent.add_off, recent.add_size)
