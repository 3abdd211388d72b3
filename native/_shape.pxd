"""Readers of spans and log records, which walk the framing of an item only when it is a new one.

Items of one exporter look alike: the same fields in the same order and of the same sizes.  A Shape keeps where the
tags and lengths of an item were.  If another of the same size has the same bytes in those places, its walk would take
the same steps, so that what the walk has found holds for it too.  Those bytes are compared independently of each
other, whereas in a walk every field waits for the length of the one before: half of the time.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy
from _hash cimport hash_trace
from _otlp cimport STATUS_ERROR, big_endian, read_status
from _tables cimport ITEM_BAD_ID, ITEM_ERROR, ITEM_RANDOM, ITEM_STATE, ITEM_STATE_TWICE, Item
from _wire cimport WT_FIXED32, WT_FIXED64, WT_LEN, WT_VARINT, read_len, read_tag, skip_value

cdef enum:
    SHAPES = 64               # kept at a time, by size
    SHAPE_WORDS = 48          # tags and lengths of an item, in words of 2 bytes
    SHAPE_MASKS = 16          # words of which not all bits are framing
    SHAPE_NEW = 0xff          # no signal

cdef struct Word:
    uint32_t off              # from the start of the content
    uint16_t bits
    uint16_t mask

cdef struct Shape:            # offsets count from the start of the item's content
    uint32_t size             # of the content
    uint32_t signal
    uint32_t words
    uint32_t masks
    uint32_t trace_off        # the last trace id
    uint32_t trace_size
    uint32_t state_off        # the last tracestate's tag
    uint32_t state_end        # 0 = none
    uint32_t status_off
    uint32_t status_size
    uint32_t code             # of the status, where there is not exactly one
    uint32_t flags            # ITEM_STATE and ITEM_STATE_TWICE
    uint8_t full              # not all was remembered: not to be relied on
    uint8_t hit               # another item was like it
    uint8_t wait              # items that are walked without remembering, when none was
    uint8_t left              # of them
    Word word[48]
    Word masked[16]

cdef inline bint same(const Word* w, const uint8_t* p) noexcept nogil:
    cdef uint16_t bits
    memcpy(&bits, p + w.off, 2)
    return bits == w.bits

cdef inline bint alike(const Shape* shape, const uint8_t* p) noexcept nogil:
    """Whether the item at p, which has the shape's size, has its framing too."""
    cdef const Word* w = <const Word*>shape.word
    cdef const Word* e = w + shape.words
    cdef uint16_t bits
    while w < e:
        if not (same(w, p) and same(w + 1, p) and same(w + 2, p) and same(w + 3, p)):
            return False
        w += 4
    w = <const Word*>shape.masked
    e = w + shape.masks
    while w < e:
        memcpy(&bits, p + w.off, 2)
        if (bits ^ w.bits) & w.mask:
            return False
        w += 1
    return True

cdef inline void remember(Shape* shape, uint32_t off, const uint8_t* p, uint32_t n, uint16_t mask) noexcept nogil:
    """n bytes of framing at p, which is off bytes into the item; the mask holds if they are one word or less."""
    cdef Word* w
    cdef uint32_t i = 0
    while i < n:
        if i and i == n - 1:
            i -= 1                # the last byte of an odd number, with the one before it
        if n > 2 or mask == 0xffff:
            if shape.words == SHAPE_WORDS:
                shape.full = 1
                return
            w = &shape.word[shape.words]
            shape.words += 1
        else:
            if shape.masks == SHAPE_MASKS:
                shape.full = 1
                return
            w = &shape.masked[shape.masks]
            shape.masks += 1
        w.off = off + i
        w.mask = mask
        memcpy(&w.bits, p + i, 2)
        i += 2

cdef inline void remember_value(Shape* shape, uint32_t off, const uint8_t* p, uint32_t tag, uint32_t tag_size,
                                uint32_t size) noexcept nogil:
    """What is framing in a field that is no length-delimited one: its tag, and where a varint or a group ends."""
    cdef uint32_t type = tag & 7
    if type == WT_FIXED64 or type == WT_FIXED32:
        remember(shape, off, p, tag_size, 0x00ff if tag_size == 1 else 0xffff)
    elif type == WT_VARINT and size == 2:
        remember(shape, off, p, size, 0x80ff)     # may be another varint of one byte
    else:
        remember(shape, off, p, size, 0xffff)     # must be the same varint, or the same group

cdef inline bint walk_item(Shape* shape, const uint8_t* p, const uint8_t* e, uint32_t id_tag, uint32_t state_tag,
                           uint32_t status_tag) noexcept nogil:
    """The shape of an item, field by field; False when it is not well formed.

    Remembering costs half a walk, and is wasted on an exporter whose items are all different: the more shapes in a
    row are of no use, the fewer are kept.
    """
    cdef const uint8_t* b = p
    cdef const uint8_t* s
    cdef const uint8_t* value
    cdef uint32_t tag, n, statuses = 0
    shape.full = shape.left > 0
    if shape.left:
        shape.left -= 1
    else:
        shape.wait = 0 if shape.hit else 63 if shape.wait > 31 else 2 * shape.wait + 1
        shape.left = shape.wait
        shape.hit = 0
    shape.size = <uint32_t>(e - p)
    shape.words = shape.masks = shape.code = 0
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
            if not shape.full:
                remember_value(shape, <uint32_t>(s - b), s, tag, <uint32_t>(value - s), <uint32_t>(p - s))
            continue
        p = read_len(p, e, &n)
        if p == NULL:
            return False
        if not shape.full:
            remember(shape, <uint32_t>(s - b), s, <uint32_t>(p - s), 0xffff)
        if tag == id_tag:
            shape.trace_off = <uint32_t>(p - b)
            shape.trace_size = n
        elif tag == state_tag:
            shape.flags |= ITEM_STATE_TWICE if shape.flags & ITEM_STATE else ITEM_STATE
            shape.state_off = <uint32_t>(s - b)
            shape.state_end = <uint32_t>(p + n - b)
        elif tag == status_tag:
            if not read_status(p, p + n, &shape.code):
                return False
            shape.status_off = <uint32_t>(p - b)
            shape.status_size = n
            statuses += 1
        p += n
    while shape.words % 4:        # alike() takes four at a time
        shape.word[shape.words] = shape.word[shape.words - 1]
        shape.words += 1
    if statuses == 1:
        shape.code = 0
    elif statuses:
        shape.status_size = 0
        shape.full = 1
    return True

cdef inline Shape* shape_for(Shape* shapes, uint32_t signal, const uint8_t* p, uint32_t size) noexcept nogil:
    """The shape of the item at p; it has yet to be walked when its signal says SHAPE_NEW."""
    cdef Shape* shape = &shapes[size % SHAPES]
    if shape.size != size or shape.signal != signal or shape.full or not alike(shape, p):
        shape.signal = SHAPE_NEW
    else:
        shape.hit = 1
    return shape

cdef inline bint read_item(Item* item, const Shape* shape, const uint8_t* b) noexcept nogil:
    """What the item of this shape at b + item.content says: trace id, tracestate, status."""
    cdef const uint8_t* p = b + item.content
    cdef uint32_t code = shape.code, flags = shape.flags
    cdef uint64_t high, low
    if shape.status_size and not read_status(p + shape.status_off, p + shape.status_off + shape.status_size, &code):
        return False
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
