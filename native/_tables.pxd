"""The tables of a tick: what scan found, what sample and route decided, what split reads.

All offsets count from the start of the message (after the gRPC prefix).  Tables grow and are reused; pointers into
them are good until the next row is added.
"""
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset
from _work cimport Core, Request

cdef enum:
    OWNER_NONE = 0xffff       # not decided yet
    OWNER_SAMPLED_OUT = 0xfffe
    OWNER_REJECTED = 0xfffd   # malformed: told to the client by partial_success
    OWNER_LAST = 0xfff0       # real owners are below this
    ITEM_RANDOM = 1           # `rand` holds the trace id's randomness (or rv's, once sample has read the tracestate)
    ITEM_ERROR = 2            # Status.code == ERROR
    ITEM_STATE = 4            # has a tracestate
    ITEM_STATE_TWICE = 8      # more than one: the last one counts, an edit removes all
    ITEM_BAD_ID = 16          # trace id of a length other than 0 and 16
    ROWS_KEPT = 1 << 17       # from tick to tick, of each table

cdef struct Item:
    uint64_t hash             # routing key
    uint64_t rand             # R, 56 bits
    uint32_t off              # the item's tag
    uint32_t content          # first byte after the length
    uint32_t end
    uint32_t state_off        # the last tracestate's tag; 0 = none
    uint32_t state_end
    uint32_t edit             # 1 + row in edits; 0 = goes out as it came
    uint32_t units            # data points of a metric, else 1
    uint16_t owner
    uint16_t flags

cdef struct Edit:             # item content without [cut_off, cut_end), then the bytes of the arena
    uint32_t cut_off          # both 0: nothing is cut, and the row may be that of many items
    uint32_t cut_end
    uint32_t add_off          # in the edit arena
    uint32_t add_size

cdef struct Frag:             # bytes of a message that are no items and no deeper messages: copied to every part
    uint32_t off
    uint32_t end

cdef struct Scope:
    uint32_t off              # first byte after the length
    uint32_t end
    uint32_t item0
    uint32_t items
    uint32_t frag0
    uint32_t frags
    uint32_t frag_bytes

cdef struct Resource:
    uint32_t off              # the tag of the ResourceSpans
    uint32_t content
    uint32_t end
    uint32_t scope0
    uint32_t scopes
    uint32_t frag0
    uint32_t frags
    uint32_t frag_bytes
    uint32_t item0
    uint32_t items
    uint32_t service          # id in the ledger
    uint32_t dropped          # bytes are left out (field 1000): the message can not go out as it came
    uint64_t hash             # of the Resource message: the routing key where an item has none
    uint32_t units            # sum over its items
    uint32_t flags            # those that any of its items has

cdef struct Doc:              # one request
    Request* request
    const uint8_t* body       # the message, prefix skipped, inflated
    uint32_t size
    uint32_t resource0
    uint32_t resources
    uint32_t item0
    uint32_t items
    uint32_t frag0
    uint32_t frags
    uint32_t kept             # items with an owner
    uint32_t edited           # items with an edit
    uint32_t dropped          # resources with `dropped`
    uint8_t whole             # must go to one owner unsplit (profiles; spreading strategies)

cdef struct Tables:
    Core* core
    uint32_t ndocs, cdocs
    uint32_t nresources, cresources
    uint32_t nscopes, cscopes
    uint32_t nitems, citems
    uint32_t nfrags, cfrags
    uint32_t nedits, cedits
    uint32_t narena, carena
    Doc* docs
    Resource* resources
    Scope* scopes
    Item* items
    Frag* frags
    Edit* edits
    uint8_t* arena
    void* memo                # what scan has seen before; see _walk.pxd

cdef inline void* grown(void* rows, uint32_t n, uint32_t* cap, size_t row_bytes) noexcept nogil:
    """rows with room for n + 1 of them; NULL when the system has no memory."""
    cdef uint32_t c
    if n < cap[0]:
        return rows
    c = cap[0] * 2 if cap[0] else 1024
    rows = realloc(rows, c * row_bytes)
    if rows != NULL:
        cap[0] = c
    return rows

cdef inline bint arena_room(Tables* t, uint32_t n) noexcept nogil:
    """Room for n more bytes in the edit arena; False when the system has no memory."""
    cdef uint64_t c = t.carena if t.carena else 4096
    cdef void* p
    if t.carena - t.narena >= n:
        return True
    while c - t.narena < n:
        c *= 2
    if c > <uint64_t>0xffffffff:
        return False
    p = realloc(t.arena, c)
    if p == NULL:
        return False
    t.arena = <uint8_t*>p
    t.carena = <uint32_t>c
    return True

cdef inline void tables_free(Tables* t) noexcept nogil:
    """Gives all rows back; the tables are as new."""
    cdef Core* core = t.core
    free(t.docs)
    free(t.resources)
    free(t.scopes)
    free(t.items)
    free(t.frags)
    free(t.edits)
    free(t.arena)
    free(t.memo)
    memset(t, 0, sizeof(Tables))
    t.core = core

cdef inline void tables_reset(Tables* t) noexcept nogil:
    """Empty tables.  What one extraordinary request made of them is given back, ordinary sizes stay."""
    if t.citems > ROWS_KEPT or t.cscopes > ROWS_KEPT or t.cresources > ROWS_KEPT or t.cfrags > ROWS_KEPT or (
            t.cedits > ROWS_KEPT or t.carena > 64 * ROWS_KEPT):
        tables_free(t)
    t.ndocs = t.nresources = t.nscopes = t.nitems = t.nfrags = t.nedits = t.narena = 0
