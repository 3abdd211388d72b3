"""Which owner gets an item: the second decision about it, after sampling, and the last one before its bytes are copied.

Owner numbers are those of the policy in use (Core.owners, Core.up).  Where the slot's owner is down here, its next
one takes over (a counted detour); where all three are, the items wait in the queue of the first.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from _hash cimport hash_trace
from _ledger cimport MAX_BACKENDS
from _tables cimport Doc, Item, OWNER_NONE, Tables
from _transition cimport N_SLOTS, Transition, known, remember, start_unix_ns, transition_free, transition_new
from _work cimport Backend, Core, SIGNAL_TRACES, owner_up
from sidecar._native.scan cimport Tick

cdef enum:
    NOBODY = 0xffffffff

cdef enum Phase:
    SETTLED = 0
    ANNOUNCED = 1             # the former table holds, traces in slots that will move are remembered
    WINDOW = 2                # the new one does, but for those

OWNING = ROUTE_OWNING
SEQUENCE = ROUTE_SEQUENCE
LEAST = ROUTE_LEAST
NONE = OWNER_NONE

# ---- around a change

cdef void end_transition(RoutingTable* r) noexcept nogil:
    transition_free(r.transition)
    r.transition = NULL

cdef void carry_over(const Transition* old, const RoutingTable* r) noexcept nogil:
    """A change that was announced is overtaken by the next one: what it remembered still holds where slots move."""
    cdef Transition* x = r.transition
    cdef uint64_t i, h
    for i in range(old.mask + 1):
        h = old.known[i]
        if h and x.primary[h >> 48] != r.primary[h >> 48]:
            remember(x, h)

cdef void remember_begun(const Tables* t, const RoutingTable* r) noexcept nogil:
    """A span that started before the change tells of a trace that did: all of its spans in this tick follow it."""
    cdef Transition* x = r.transition
    cdef const Doc* d
    cdef const Item* it
    cdef uint32_t i, k, slot
    for i in range(t.ndocs):
        d = &t.docs[i]
        if d.request.signal != SIGNAL_TRACES:
            continue
        for k in range(d.item0, d.item0 + d.items):
            it = &t.items[k]
            slot = <uint32_t>(it.hash >> 48)
            if it.owner == OWNER_NONE and x.primary[slot] != r.primary[slot] and not known(x, it.hash) and (
                    start_unix_ns(d.body + it.content, d.body + it.end) < x.effective_unix_ns):
                remember(x, it.hash)

# ---- the owner of a slot

cdef inline bint usable(const Core* core, const RoutingTable* r, uint32_t owner, uint32_t avoid) noexcept nogil:
    return owner < r.nowners and owner != avoid and owner_up(core, owner)

cdef inline uint32_t pick(const Core* core, const RoutingTable* r, const uint16_t* primary, const uint16_t* next,
                          uint32_t slot, uint32_t avoid) noexcept nogil:
    """The first of the slot's owners that is up and not to be avoided, else the first; OWNER_NONE in an empty table."""
    cdef uint32_t owner = primary[slot]
    if usable(core, r, owner, avoid):
        return owner
    if usable(core, r, next[2 * slot], avoid):
        return next[2 * slot]
    if usable(core, r, next[2 * slot + 1], avoid):
        return next[2 * slot + 1]
    return owner

cdef inline uint32_t assign_run(Tables* t, Doc* d, uint32_t i, uint32_t owner, uint32_t* last) noexcept nogil:
    """Gives item i and those like it that follow to an owner; returns how many, and in last[0] the item behind them."""
    cdef uint32_t end = d.item0 + d.items, n = 0
    cdef uint64_t h = t.items[i].hash
    while i < end and (t.items[i].hash == h or d.whole):
        if t.items[i].owner == OWNER_NONE:
            t.items[i].owner = <uint16_t>owner
            n += 1
        i += 1
    last[0] = i
    return n

cdef void assign_owning(Tables* t, RoutingTable* r, Doc* d, Phase phase) noexcept nogil:
    cdef Transition* x = r.transition
    cdef const uint16_t* primary = r.primary
    cdef const uint16_t* next = r.next
    cdef uint32_t i = d.item0, end = d.item0 + d.items
    cdef uint32_t avoid = <uint32_t>d.request.avoid - 1
    cdef uint32_t slot, owner, n
    cdef uint64_t h
    cdef bint stays
    if phase == ANNOUNCED:
        primary = x.primary
        next = x.next
    while i < end:
        if t.items[i].owner != OWNER_NONE:
            i += 1
            continue
        h = t.items[i].hash
        slot = <uint32_t>(h >> 48)
        stays = False
        if phase != SETTLED and x.primary[slot] != r.primary[slot]:
            if phase == ANNOUNCED:
                remember(x, h)
            else:
                stays = usable(t.core, r, x.primary[slot], avoid) and known(x, h)
        owner = x.primary[slot] if stays else pick(t.core, r, primary, next, slot, avoid)
        n = assign_run(t, d, i, owner, &i)
        if stays:
            r.stayed += n
        elif owner != primary[slot] and not usable(t.core, r, primary[slot], NOBODY):
            r.detoured += n

# ---- spreading: whole requests in turn

cdef uint32_t next_in_turn(const Core* core, RoutingTable* r, uint32_t avoid) noexcept nogil:
    """Skipping those that are down keeps the proportions of the others: the turn goes on behind the one that was taken."""
    cdef uint32_t k, owner
    for k in range(r.nsequence):
        owner = r.sequence[r.turn]
        r.turn = r.turn + 1 if r.turn + 1 < r.nsequence else 0
        if usable(core, r, owner, avoid):
            return owner
    if usable(core, r, avoid, NOBODY):
        return avoid
    if r.nsequence == 0:
        return OWNER_NONE
    owner = r.sequence[r.turn]
    r.turn = r.turn + 1 if r.turn + 1 < r.nsequence else 0
    return owner

cdef uint32_t least_loaded(const Core* core, RoutingTable* r, uint32_t avoid, const uint64_t* given) noexcept nogil:
    """The smallest queue in bytes, then in calls; given: bytes that this tick has added to each.  Ties take turns."""
    cdef uint32_t k, owner, best = OWNER_NONE, place = r.turn, best_place = r.turn
    cdef uint64_t depth, best_depth = ~<uint64_t>0
    cdef const Backend* backend
    for k in range(r.nsequence):
        owner = r.sequence[place]
        if usable(core, r, owner, avoid) and owner < core.nowners:
            backend = core.owners[owner]
            depth = backend.queued_bytes + given[owner]
            if depth < best_depth or (depth == best_depth and backend.in_flight < core.owners[best].in_flight):
                best = owner
                best_depth = depth
                best_place = place
        place = place + 1 if place + 1 < r.nsequence else 0
    if best == OWNER_NONE:
        return next_in_turn(core, r, avoid)
    r.turn = best_place + 1 if best_place + 1 < r.nsequence else 0
    return best

cdef void assign_whole(Tables* t, RoutingTable* r, Doc* d, uint64_t* given) noexcept nogil:
    cdef uint32_t i = d.item0, end = d.item0 + d.items
    cdef uint32_t avoid = <uint32_t>d.request.avoid - 1
    cdef uint32_t owner
    d.whole = 1
    while i < end and t.items[i].owner != OWNER_NONE:
        i += 1
    if i == end:
        return
    if r.mode == ROUTE_LEAST:
        owner = least_loaded(t.core, r, avoid, given)
    else:
        owner = next_in_turn(t.core, r, avoid)
    if owner != OWNER_NONE:
        given[owner] += d.size
        assign_run(t, d, i, owner, &i)

cdef void assign_tick(Tables* t, RoutingTable* r) noexcept nogil:
    """An owner for every item that has none; in an empty table they stay without, and must not go on to split.

    r.nowners must not be above t.core.nowners.
    """
    cdef Transition* x = r.transition
    cdef uint64_t before = r.detoured
    cdef Phase phase = SETTLED
    cdef uint64_t given[1024]
    cdef uint32_t i
    if x != NULL:
        if t.core.now_ns < x.effective_ns:
            phase = ANNOUNCED
        elif t.core.now_ns < x.until_ns:
            phase = WINDOW
            remember_begun(t, r)
        else:
            end_transition(r)
    if r.mode == ROUTE_LEAST:
        memset(given, 0, sizeof(given))
    for i in range(t.ndocs):
        if r.mode == ROUTE_OWNING:
            assign_owning(t, r, &t.docs[i], phase)
        else:
            assign_whole(t, r, &t.docs[i], given)
    if t.core.ledger != NULL:
        t.core.ledger.page.worker.detoured += r.detoured - before

# ---- the face for Python

def slot_of(const uint8_t[::1] trace_id not None):
    """The slot of a 16-byte trace id."""
    if trace_id.shape[0] != 16:
        raise ValueError(f"a trace id has 16 bytes, not {trace_id.shape[0]}")
    return hash_trace(&trace_id[0]) >> 48

cdef int check_owners(const uint16_t* owners, size_t n, uint32_t nowners, const char* what) except -1:
    cdef size_t i
    for i in range(n):
        if owners[i] >= nowners and owners[i] != OWNER_NONE:
            raise ValueError(f"{what.decode()}[{i}] is owner {owners[i]}, of {nowners}")
    return 0

cdef class Routing:
    """How one worker routes by one policy: its tables, borrowed, and whose turn it is.

    primary [65536] and after [65536][2] for OWNING, sequence for the others; they are kept alive and never written.
    owners: how many the policy has; turn: where in the sequence to begin, so that workers do not all begin alike.
    """
    def __init__(self, int mode, uint32_t owners, *, const uint16_t[::1] primary=None,
                 const uint16_t[:, ::1] after=None, const uint16_t[::1] sequence=None, uint32_t turn=0):
        cdef RoutingTable* r = &self.table
        if owners > MAX_BACKENDS:
            raise ValueError(f"{owners} owners are more than {MAX_BACKENDS}")
        if r.primary != NULL or r.sequence != NULL:
            raise TypeError("a Routing is made once")
        if mode == ROUTE_OWNING:
            if primary is None or after is None or primary.shape[0] != N_SLOTS or after.shape[0] != N_SLOTS or (
                    after.shape[1] != 2):
                raise ValueError("owning needs the tables primary [65536] and after [65536][2]")
            check_owners(&primary[0], N_SLOTS, owners, b"primary")
            check_owners(&after[0, 0], 2 * N_SLOTS, owners, b"after")
            r.primary = &primary[0]
            r.next = &after[0, 0]
        elif mode == ROUTE_SEQUENCE or mode == ROUTE_LEAST:
            if sequence is None:
                raise ValueError("spreading needs a sequence")
            if sequence.shape[0]:
                check_owners(&sequence[0], sequence.shape[0], owners, b"sequence")
                r.sequence = &sequence[0]
                r.nsequence = <uint32_t>sequence.shape[0]
                r.turn = turn % r.nsequence
        else:
            raise ValueError(f"unknown mode {mode}")
        r.mode = <uint8_t>mode
        r.nowners = owners
        self.primary = primary
        self.after = after
        self.sequence = sequence

    def __dealloc__(self):
        end_transition(&self.table)

    def begin_transition(self, Routing old not None, const uint16_t[::1] owner_map not None, *, int64_t now_ns,
                         int64_t effective_ns, int64_t window_ns, uint64_t effective_unix_ns, uint32_t remember_limit):
        """Keeps traces with their former owner around the moment of a change; the number of slots that move.

        old: the Routing in use so far, not needed afterwards; owner_map: its owner numbers -> ours, NONE for those that
        left (their slots change hands at once).  Until effective_ns (monotonic, as now_ns) the former table holds, and
        up to remember_limit traces in slots that move are remembered; these, and spans that started before
        effective_unix_ns, stay for window_ns more.  Costs 384 KiB and 16 to 32 bytes per trace of the limit, until
        then.  Nothing moves slowly between spreading modes.  If old is itself in the window of a transition, the traces
        that it keeps back move now: let one end before the next begins.
        """
        cdef RoutingTable* r = &self.table
        cdef const RoutingTable* o = &old.table
        cdef const uint16_t* primary = o.primary
        cdef const uint16_t* next = o.next
        cdef Transition* x
        cdef uint16_t place[65536]
        cdef uint32_t i, moved = 0
        if old is self:
            raise ValueError("a Routing cannot follow itself")
        if owner_map.shape[0] != o.nowners:
            raise ValueError(f"the map has {owner_map.shape[0]} owners, the former policy {o.nowners}")
        end_transition(r)
        if r.mode != ROUTE_OWNING or o.mode != ROUTE_OWNING:
            return 0
        memset(place, 0xff, sizeof(place))
        for i in range(o.nowners):
            if owner_map[i] < r.nowners:
                place[i] = owner_map[i]
        x = transition_new(remember_limit)
        if x == NULL:
            raise MemoryError
        r.transition = x
        x.effective_ns = effective_ns
        x.until_ns = effective_ns + window_ns
        x.effective_unix_ns = effective_unix_ns
        if o.transition != NULL and now_ns < o.transition.effective_ns:
            primary = o.transition.primary
            next = o.transition.next
        for i in range(<uint32_t>N_SLOTS):
            if place[primary[i]] == OWNER_NONE:
                memcpy(&x.next[2 * i], &r.next[2 * i], 4)
                x.primary[i] = r.primary[i]
                continue
            x.primary[i] = place[primary[i]]
            x.next[2 * i] = place[next[2 * i]]
            x.next[2 * i + 1] = place[next[2 * i + 1]]
            moved += x.primary[i] != r.primary[i]
        if primary != o.primary:
            carry_over(o.transition, r)
        if moved == 0:
            end_transition(r)
        return moved

    def owners_of(self, uint16_t slot):
        """The three owners of a slot in the table of the policy, NONE where there are fewer."""
        if self.table.mode != ROUTE_OWNING:
            raise ValueError("no slot has an owner: this policy spreads")
        return self.primary[slot], self.after[slot, 0], self.after[slot, 1]

    @property
    def detoured(self):
        """Items sent to the next owner of their slot, their own being down."""
        return self.table.detoured

    @property
    def stayed(self):
        """Items that a transition kept with the former owner of their trace after the change."""
        return self.table.stayed

    @property
    def remembered(self):
        """Traces remembered by the transition that is under way, 0 without one."""
        return self.table.transition.count if self.table.transition != NULL else 0

    @property
    def passed_over(self):
        """Sightings of traces that this transition did not remember, its limit being reached."""
        return self.table.transition.passed_over if self.table.transition != NULL else 0

    @property
    def in_transition(self):
        """Whether a transition was begun, and no tick has come after its end."""
        return self.table.transition != NULL

def assign(Tick tick not None, Routing routing not None):
    """An owner for every item of the tick that has none yet.

    ValueError if the worker has not taken the backends of this policy over (Backends.own).
    """
    if routing.table.nowners > tick.tables.core.nowners:
        raise ValueError(f"the policy has {routing.table.nowners} owners, the worker {tick.tables.core.nowners}")
    with nogil:
        assign_tick(&tick.tables, &routing.table)

def set_avoid(Tick tick not None, uint32_t doc, uint32_t owner):
    """Makes a request one that must not go back to an owner, as a rerouted part is; for tests."""
    if doc >= tick.tables.ndocs:
        raise IndexError(doc)
    tick.tables.docs[doc].request.avoid = <uint16_t>(owner + 1)
