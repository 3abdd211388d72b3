"""One region's way to an owner, as a worker goes by it: its tables, whose turn it is, and the change that is under way.

Owner numbers are the region's own; `place` makes those of the policy of them (Core.owners, Core.up).
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from _tables cimport OWNER_NONE
from _transition cimport Transition, remember, transition_free
from _work cimport Backend, Core, owner_up

cdef enum:
    NOBODY = 0xffffffff
    MAX_AREAS = 250           # one byte tells which; as many descriptors fit into one message

cdef enum RouteMode:
    ROUTE_OWNING = 0          # every item to the owner of its slot
    ROUTE_SEQUENCE = 1        # every request whole to the next one of a sequence: (weighted) round robin
    ROUTE_LEAST = 2           # every request whole to the one with the smallest queue

cdef enum Phase:
    SETTLED = 0
    ANNOUNCED = 1             # the former table holds, traces in slots that will move are remembered
    WINDOW = 2                # the new one does, but for those

cdef struct Area:             # primary, next and sequence are borrowed
    uint8_t mode
    uint8_t phase             # a Phase, as of this tick
    uint8_t up                # some owner is, as of this tick; kept where there are several areas
    uint32_t nowners
    uint16_t* place           # owner -> owner of the policy
    const uint16_t* primary   # [65536]
    const uint16_t* next      # [65536][2]
    const uint16_t* sequence  # owners in turn; for ROUTE_LEAST the candidates
    uint32_t nsequence
    uint32_t turn             # the place in it that is next
    Transition* transition    # NULL outside of one

# ---- around a change

cdef inline void end_transition(Area* a) noexcept nogil:
    transition_free(a.transition)
    a.transition = NULL
    a.phase = SETTLED

cdef inline void carry_over(const Transition* old, const Area* a) noexcept nogil:
    """A change that was announced is overtaken by the next one: what it remembered still holds where slots move."""
    cdef Transition* x = a.transition
    cdef uint64_t i, h
    for i in range(old.mask + 1):
        h = old.known[i]
        if h and x.primary[h >> 48] != a.primary[h >> 48]:
            remember(x, h)

cdef inline void see_phase(Area* a, int64_t now_ns) noexcept nogil:
    """What the change is at by now; one that is over leaves nothing behind."""
    if a.transition == NULL:
        return
    if now_ns < a.transition.effective_ns:
        a.phase = ANNOUNCED
    elif now_ns < a.transition.until_ns:
        a.phase = WINDOW
    else:
        end_transition(a)

# ---- the owner of a slot

cdef inline bint usable(const Core* core, const Area* a, uint32_t owner, uint32_t avoid) noexcept nogil:
    """Whether there is such an owner, it is up, and not the one (by the policy's number) that is to be avoided."""
    return owner < a.nowners and a.place[owner] != avoid and owner_up(core, a.place[owner])

cdef inline uint32_t stand_in(const Core* core, const Area* a, const uint16_t* next, uint32_t slot, uint32_t first,
                              uint32_t avoid) noexcept nogil:
    """The next of the slot's owners that is up and not to be avoided, else the first; by the policy's numbers."""
    if usable(core, a, next[2 * slot], avoid):
        return a.place[next[2 * slot]]
    if usable(core, a, next[2 * slot + 1], avoid):
        return a.place[next[2 * slot + 1]]
    return first

cdef inline void see_up(const Core* core, Area* a) noexcept nogil:
    """Looks whether any owner is up."""
    cdef uint32_t i
    a.up = 0
    for i in range(a.nowners):
        if owner_up(core, a.place[i]):
            a.up = 1
            return

# ---- spreading: whole requests in turn; owners are told by the policy's numbers

cdef inline uint32_t next_in_turn(const Core* core, Area* a, uint32_t avoid) noexcept nogil:
    """Skipping those that are down keeps the proportions of the others: the turn goes on behind the one that was taken."""
    cdef uint32_t k, owner, alone = NOBODY
    for k in range(a.nsequence):
        owner = a.place[a.sequence[a.turn]]
        a.turn = a.turn + 1 if a.turn + 1 < a.nsequence else 0
        if owner_up(core, owner):
            if owner != avoid:
                return owner
            alone = owner
    if alone != NOBODY:
        return alone
    if a.nsequence == 0:
        return OWNER_NONE
    owner = a.place[a.sequence[a.turn]]
    a.turn = a.turn + 1 if a.turn + 1 < a.nsequence else 0
    return owner

cdef inline uint32_t least_loaded(const Core* core, Area* a, uint32_t avoid, const uint64_t* given) noexcept nogil:
    """The smallest queue in bytes, then in calls; given: bytes that this tick has added to each.  Ties take turns."""
    cdef uint32_t k, owner, best = OWNER_NONE, place = a.turn, best_place = a.turn
    cdef uint64_t depth, best_depth = ~<uint64_t>0
    cdef const Backend* backend
    for k in range(a.nsequence):
        owner = a.place[a.sequence[place]]
        if owner != avoid and owner_up(core, owner):
            backend = core.owners[owner]
            depth = backend.queued_bytes + given[owner]
            if depth < best_depth or (depth == best_depth and backend.in_flight < core.owners[best].in_flight):
                best = owner
                best_depth = depth
                best_place = place
        place = place + 1 if place + 1 < a.nsequence else 0
    if best == OWNER_NONE:
        return next_in_turn(core, a, avoid)
    a.turn = best_place + 1 if best_place + 1 < a.nsequence else 0
    return best
