"""Readers of spans and log records, which walk the framing of an item only when it is a new one.

Items of one exporter look alike: the same fields in the same order and of the same sizes.  A Shape keeps where the
tags and lengths of an item were.  If another of the same size has the same bytes in those places, its walk would take
the same steps, so that what the walk has found holds for it too.  Those bytes are compared independently of each
other, whereas in a walk every field waits for the length of the one before: a third of the time.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy
from _hash cimport hash_trace
from _otlp cimport STATUS_ERROR, big_endian, read_status
from _tables cimport ITEM_BAD_ID, ITEM_ERROR, ITEM_RANDOM, ITEM_STATE, ITEM_STATE_TWICE, Item
from _wire cimport WT_FIXED32, WT_FIXED64, WT_LEN, WT_VARINT, read_len, read_tag, skip_value

cdef enum:
    SHAPES = 32               # kept at a time, by size
    SHAPE_WORDS = 48          # tags and lengths of an item, in words of 2 bytes

cdef struct Word:
    uint32_t off              # from the start of the content
    uint16_t bits
    uint16_t mask

cdef struct Shape:            # offsets count from the start of the item's content
    uint32_t size             # of the content
    uint32_t signal
    uint32_t words            # 0 = not to be relied on
    uint32_t trace_off        # the last trace id
    uint32_t trace_size
    uint32_t state_off        # the last tracestate's tag
    uint32_t state_end        # 0 = none
    uint32_t status_off
    uint32_t status_size
    uint32_t flags            # ITEM_STATE and ITEM_STATE_TWICE
    Word word[48]

cdef inline bint alike(const Shape* shape, const uint8_t* p) noexcept nogil:
    """Whether the item at p, which has the shape's size, has its framing too."""
    cdef uint32_t k
    cdef uint16_t bits
    for k in range(shape.words):
        memcpy(&bits, p + shape.word[k].off, 2)
        if (bits ^ shape.word[k].bits) & shape.word[k].mask:
            return False
    return True

cdef inline void remember(Shape* shape, uint32_t* words, uint32_t off, const uint8_t* p, uint32_t n) noexcept nogil:
    """n bytes of framing at p, which is off bytes into the item; SHAPE_WORDS + 1 words once there are too many."""
    cdef uint32_t i = 0
    while i < n:
        if i and i == n - 1:
            i -= 1                # the last byte of an odd number, with the one before it
        if words[0] >= SHAPE_WORDS:
            words[0] = SHAPE_WORDS + 1
            return
        shape.word[words[0]].off = off + i
        shape.word[words[0]].mask = 0xffff if n > 1 else 0x00ff
        memcpy(&shape.word[words[0]].bits, p + i, 2)
        words[0] += 1
        i += 2

cdef inline bint walk_item(Shape* shape, const uint8_t* p, const uint8_t* e, uint32_t id_tag, uint32_t state_tag,
                           uint32_t status_tag, uint32_t* code) noexcept nogil:
    """Field by field; False when the item is not well formed."""
    cdef const uint8_t* b = p
    cdef const uint8_t* s
    cdef const uint8_t* value
    cdef uint32_t tag, n, words = 0, statuses = 0
    shape.size = <uint32_t>(e - p)
    shape.words = 0
    shape.trace_off = shape.trace_size = shape.state_off = shape.state_end = shape.status_off = shape.status_size = 0
    shape.flags = 0
    while p < e:
        s = p
        p = read_tag(p, e, &tag)
        if p == NULL:
            return False
        value = p
        if tag & 7 != WT_LEN:
            p = skip_value(p, e, tag)
            if p == NULL:
                return False
            if tag & 7 == WT_FIXED64 or tag & 7 == WT_FIXED32:
                remember(shape, &words, <uint32_t>(s - b), s, <uint32_t>(value - s))
                continue
            # a varint of one byte may be another one; groups and longer varints have to be the same
            remember(shape, &words, <uint32_t>(s - b), s, <uint32_t>(p - s))
            if tag & 7 == WT_VARINT and p - s == 2 and words <= SHAPE_WORDS:
                shape.word[words - 1].mask = 0x80ff
            continue
        p = read_len(p, e, &n)
        if p == NULL:
            return False
        remember(shape, &words, <uint32_t>(s - b), s, <uint32_t>(p - s))
        if tag == id_tag:
            shape.trace_off = <uint32_t>(p - b)
            shape.trace_size = n
        elif tag == state_tag:
            shape.flags |= ITEM_STATE_TWICE if shape.flags & ITEM_STATE else ITEM_STATE
            shape.state_off = <uint32_t>(s - b)
            shape.state_end = <uint32_t>(p + n - b)
        elif tag == status_tag:
            if not read_status(p, p + n, code):
                return False
            shape.status_off = <uint32_t>(p - b)
            shape.status_size = n
            statuses += 1
        p += n
    if words <= SHAPE_WORDS and statuses < 2:
        shape.words = words
    return True

cdef inline bint read_item(Shape* shapes, Item* item, const uint8_t* b, uint32_t signal, uint32_t id_tag,
                           uint32_t state_tag, uint32_t status_tag) noexcept nogil:
    """The item at b + item.content .. item.end: framing, trace id, tracestate, status.

    The signal and its tags are constants of the caller.
    """
    cdef const uint8_t* p = b + item.content
    cdef uint32_t size = item.end - item.content, code = 0, flags
    cdef Shape* shape = &shapes[size % SHAPES]
    cdef uint64_t high, low
    if shape.size == size and shape.signal == signal and shape.words and alike(shape, p):
        if shape.status_size and not read_status(p + shape.status_off, p + shape.status_off + shape.status_size, &code):
            return False
    else:
        shape.signal = signal
        if not walk_item(shape, p, b + item.end, id_tag, state_tag, status_tag, &code):
            return False
    flags = shape.flags
    item.hash = 0
    item.rand = 0
    item.state_off = item.content + shape.state_off if flags else 0
    item.state_end = item.content + shape.state_end if flags else 0
    if shape.trace_size == 16:
        memcpy(&high, p + shape.trace_off, 8)
        memcpy(&low, p + shape.trace_off + 8, 8)
        if high | low:
            flags |= ITEM_RANDOM
            item.hash = hash_trace(p + shape.trace_off)
            item.rand = big_endian(low) & <uint64_t>0xffffffffffffff
    elif shape.trace_size:
        flags |= ITEM_BAD_ID
    if code == STATUS_ERROR:
        flags |= ITEM_ERROR
    item.flags = <uint16_t>flags
    return True
