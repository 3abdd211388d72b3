"""The stage that finds an owner for every item of a tick: the second decision about it, after sampling.

    service --area_of--> area --slot of the trace id, or whose turn it is--> owner

Where the slot's owner is down here, its next one takes over (a counted detour); where all three are, the items wait in
the queue of the first.  Where nobody of a region that a rule names is up, the own region takes over as a whole.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset
from _area cimport (ANNOUNCED, MAX_AREAS, ROUTE_LEAST, ROUTE_OWNING, SETTLED, WINDOW, Area, least_loaded,
                    next_in_turn, see_phase, see_up, stand_in, usable)
from _ledger cimport MAX_BACKENDS
from _tables cimport Doc, Item, OWNER_LAST, OWNER_NONE, Resource, Tables
from _transition cimport Transition, known, remember, start_unix_ns
from _work cimport Core, SIGNAL_TRACES, owner_up

cdef enum:
    SEEN = 256                # traces of a request that its areas are compared by

cdef struct RoutingTable:     # belongs to one worker
    uint32_t nowners          # of all areas together: the policy's
    uint32_t nareas           # at least one, the own region first
    Area* areas
    uint8_t* area_of          # [SERVICES] by ledger id: who goes where; NULL with one area
    uint64_t detoured         # items whose owner was down
    uint64_t stayed           # items kept with their trace's former owner
    uint64_t fell_back        # items kept in the own region, nobody of the one that a rule names being up
    uint64_t split_by_rules   # items that a rule parts from others of their trace

# ---- a range of neighbouring items, all of one area

cdef inline uint32_t assign_run(Item* items, uint32_t i, uint32_t end, uint32_t owner, bint whole,
                                uint32_t* last) noexcept nogil:
    """Gives item i and those like it that follow to an owner; returns how many, and in last[0] the item behind them."""
    cdef uint32_t n = 0
    cdef uint64_t h = items[i].hash
    while i < end and (items[i].hash == h or whole):
        if items[i].owner == OWNER_NONE:
            items[i].owner = <uint16_t>owner
            n += 1
        i += 1
    last[0] = i
    return n

cdef inline bint stays_back(const Core* core, const Area* a, uint64_t h, uint32_t avoid) noexcept nogil:
    """In a slot that moves: whether its former owner keeps the trace, after the change; before it, that is noted."""
    if a.phase == ANNOUNCED:
        remember(a.transition, h)
        return False
    return usable(core, a, a.transition.primary[h >> 48], avoid) and known(a.transition, h)

cdef inline uint32_t assign_owning(Tables* t, RoutingTable* r, const Area* a, const Doc* d, uint32_t i,
                                   uint32_t end) noexcept nogil:
    """Each item from i to end to the owner of its slot; returns how many."""
    cdef const Core* core = t.core
    cdef Item* items = t.items
    cdef const Transition* x = a.transition
    cdef const uint16_t* primary = a.primary
    cdef const uint16_t* next = a.next
    cdef const uint16_t* place = a.place
    cdef uint32_t nowners = a.nowners, avoid = <uint32_t>d.request.avoid - 1
    cdef uint32_t slot, first, owner, n, total = 0
    cdef bint stays, up, settled = a.phase == SETTLED, whole = d.whole
    if a.phase == ANNOUNCED:
        primary = x.primary
        next = x.next
    while i < end:
        if items[i].owner != OWNER_NONE:
            i += 1
            continue
        slot = <uint32_t>(items[i].hash >> 48)
        first = primary[slot]
        owner = place[first] if first < nowners else OWNER_NONE
        up = owner != OWNER_NONE and owner_up(core, owner)
        if up and owner != avoid and settled:
            total += assign_run(items, i, end, owner, whole, &i)
            continue
        stays = not settled and x.primary[slot] != a.primary[slot] and stays_back(core, a, items[i].hash, avoid)
        if stays:
            owner = place[x.primary[slot]]
        elif not up or owner == avoid:
            owner = stand_in(core, a, next, slot, owner, avoid)
        n = assign_run(items, i, end, owner, whole, &i)
        total += n
        if stays:
            r.stayed += n
        elif not up and owner != OWNER_NONE and owner != place[first]:
            r.detoured += n
    return total

cdef inline uint32_t assign_whole(Tables* t, Area* a, const Doc* d, uint32_t i, uint32_t end, uint32_t size,
                                  uint16_t* owner, uint64_t* given) noexcept nogil:
    """The items from i to end together to the next one in turn, or to owner[0], which tells who it was."""
    cdef uint32_t avoid = <uint32_t>d.request.avoid - 1
    while i < end and t.items[i].owner != OWNER_NONE:
        i += 1
    if i == end:
        return 0
    if owner[0] != OWNER_NONE:
        pass
    elif a.mode == ROUTE_LEAST:
        owner[0] = <uint16_t>least_loaded(t.core, a, avoid, given)
    else:
        owner[0] = <uint16_t>next_in_turn(t.core, a, avoid)
    if owner[0] == OWNER_NONE:
        return 0
    given[owner[0]] += size
    return assign_run(t.items, i, end, owner[0], True, &i)

# ---- a request whose services belong to several areas

cdef inline uint32_t serving(const RoutingTable* r, uint32_t area) noexcept nogil:
    """The area itself, or the own one where nobody of it is up."""
    return area if r.areas[area].up or not r.areas[0].up else 0

cdef inline void count_split(Tables* t, RoutingTable* r, const Doc* d) noexcept nogil:
    """Counts items that go to another area than the one before them of their trace; the last SEEN traces are known."""
    cdef uint64_t hashes[SEEN]
    cdef uint8_t areas[SEEN]
    cdef uint32_t i, k, area, place
    cdef uint64_t h
    cdef const Resource* resource
    memset(hashes, 0, sizeof(hashes))
    for k in range(d.resource0, d.resource0 + d.resources):
        resource = &t.resources[k]
        area = serving(r, r.area_of[resource.service])
        for i in range(resource.item0, resource.item0 + resource.items):
            if t.items[i].owner >= OWNER_LAST:
                continue
            h = t.items[i].hash
            place = <uint32_t>(h % SEEN)
            r.split_by_rules += hashes[place] == h and areas[place] != area
            hashes[place] = h
            areas[place] = <uint8_t>area

cdef inline void assign_areas(Tables* t, RoutingTable* r, Doc* d, uint64_t* given) noexcept nogil:
    """Each resource to its service's area; in a spreading one, what the request has for it goes whole to one owner."""
    cdef uint16_t owners[MAX_AREAS]
    cdef uint32_t i = d.resource0, end = d.resource0 + d.resources, area, named, first, size, n
    cdef const Resource* resource
    cdef bint mixed = False
    memset(owners, 0xff, r.nareas * sizeof(owners[0]))
    while i < end:
        resource = &t.resources[i]
        named = r.area_of[resource.service]
        area = serving(r, named)
        first = resource.item0
        size = 0
        while i < end and (d.whole or r.area_of[t.resources[i].service] == named):
            resource = &t.resources[i]
            size += resource.end - resource.off
            i += 1
        if r.areas[area].mode == ROUTE_OWNING:
            n = assign_owning(t, r, &r.areas[area], d, first, resource.item0 + resource.items)
        else:
            n = assign_whole(t, &r.areas[area], d, first, resource.item0 + resource.items, size, &owners[area], given)
        if area != named:
            r.fell_back += n
        mixed |= i < end
    if mixed:
        count_split(t, r, d)

# ---- a tick

cdef inline void assign_doc(Tables* t, RoutingTable* r, Doc* d, uint64_t* given) noexcept nogil:
    cdef uint16_t owner = OWNER_NONE
    if r.nareas > 1:
        assign_areas(t, r, d, given)
    elif r.areas[0].mode == ROUTE_OWNING:
        assign_owning(t, r, r.areas, d, d.item0, d.item0 + d.items)
    else:
        d.whole = 1
        assign_whole(t, r.areas, d, d.item0, d.item0 + d.items, d.size, &owner, given)

cdef inline void remember_begun(const Tables* t, const RoutingTable* r, uint32_t area) noexcept nogil:
    """A span that started before the change tells of a trace that did: all of its spans in this tick follow it."""
    cdef const Area* a = &r.areas[area]
    cdef Transition* x = a.transition
    cdef const Doc* d
    cdef const Resource* resource
    cdef const Item* it
    cdef uint32_t i, k, n, slot
    for i in range(t.ndocs):
        d = &t.docs[i]
        if d.request.signal != SIGNAL_TRACES:
            continue
        for k in range(d.resource0, d.resource0 + d.resources):
            resource = &t.resources[k]
            if r.nareas > 1 and serving(r, r.area_of[resource.service]) != area:
                continue
            for n in range(resource.item0, resource.item0 + resource.items):
                it = &t.items[n]
                slot = <uint32_t>(it.hash >> 48)
                if it.owner == OWNER_NONE and x.primary[slot] != a.primary[slot] and not known(x, it.hash) and (
                        start_unix_ns(d.body + it.content, d.body + it.end) < x.effective_unix_ns):
                    remember(x, it.hash)

cdef inline void assign_tick(Tables* t, RoutingTable* r) noexcept nogil:
    """An owner for every item that has none; in an empty table they stay without, and must not go on to split.

    r.nowners must not be above t.core.nowners.
    """
    cdef uint64_t detoured = r.detoured, fell_back = r.fell_back, split_by_rules = r.split_by_rules
    cdef uint64_t given[MAX_BACKENDS]
    cdef uint32_t i
    cdef bint spreads = False
    for i in range(r.nareas):
        spreads |= r.areas[i].mode != ROUTE_OWNING
        see_phase(&r.areas[i], t.core.now_ns)
        if r.nareas > 1:
            see_up(t.core, &r.areas[i])
    for i in range(r.nareas):
        if r.areas[i].phase == WINDOW:
            remember_begun(t, r, i)
    if spreads:
        memset(given, 0, sizeof(given))
    for i in range(t.ndocs):
        assign_doc(t, r, &t.docs[i], given)
    if t.core.ledger != NULL:
        t.core.ledger.page.worker.detoured += r.detoured - detoured
        t.core.ledger.page.worker.fell_back += r.fell_back - fell_back
        t.core.ledger.page.worker.split_by_rules += r.split_by_rules - split_by_rules
