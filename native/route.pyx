"""Routing: what one worker routes by, and the stage `assign`, the last one before an item's bytes are copied."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset
from _area cimport MAX_AREAS, ROUTE_LEAST, ROUTE_OWNING, ROUTE_SEQUENCE, Area, carry_over, end_transition
from _assign cimport assign_tick
from _hash cimport hash_trace
from _ledger cimport MAX_BACKENDS, SERVICES
from _tables cimport OWNER_NONE
from _transition cimport N_SLOTS, Transition, transition_new
from sidecar._native.scan cimport Tick

OWNING = ROUTE_OWNING
SEQUENCE = ROUTE_SEQUENCE
LEAST = ROUTE_LEAST
NONE = OWNER_NONE
AREAS_MAX = MAX_AREAS

def slot_of(const uint8_t[::1] trace_id not None):
    """The slot of a 16-byte trace id."""
    if trace_id.shape[0] != 16:
        raise ValueError(f"a trace id has 16 bytes, not {trace_id.shape[0]}")
    return hash_trace(&trace_id[0]) >> 48

cdef int check_owners(const uint16_t* owners, size_t n, uint32_t nowners, bint gaps, const char* what) except -1:
    """Whether all are below nowners, or NONE where there may be gaps."""
    cdef size_t i
    for i in range(n):
        if owners[i] >= nowners and not (gaps and owners[i] == OWNER_NONE):
            raise ValueError(f"{what.decode()}[{i}] is owner {owners[i]}, of {nowners}")
    return 0

cdef class Table:
    """What the items of one region go by; checked when it is made, never written, kept alive by whoever uses it.

    primary [65536] and after [65536][2] for OWNING, sequence for the others: numbers below `owners`.
    """
    def __init__(self, int mode, uint32_t owners, *, const uint16_t[::1] primary=None,
                 const uint16_t[:, ::1] after=None, const uint16_t[::1] sequence=None):
        if owners > MAX_BACKENDS:
            raise ValueError(f"{owners} owners are more than {MAX_BACKENDS}")
        if mode == ROUTE_OWNING:
            if primary is None or after is None or primary.shape[0] != N_SLOTS or after.shape[0] != N_SLOTS or (
                    after.shape[1] != 2):
                raise ValueError("owning needs the tables primary [65536] and after [65536][2]")
            check_owners(&primary[0], N_SLOTS, owners, True, b"primary")
            check_owners(&after[0, 0], 2 * N_SLOTS, owners, True, b"after")
        elif mode == ROUTE_SEQUENCE or mode == ROUTE_LEAST:
            if sequence is None:
                raise ValueError("spreading needs a sequence")
            if sequence.shape[0]:
                check_owners(&sequence[0], sequence.shape[0], owners, False, b"sequence")
        else:
            raise ValueError(f"unknown mode {mode}")
        self.mode = mode
        self.owners = owners
        self.primary = primary
        self.after = after
        self.sequence = sequence

    def owners_of(self, uint16_t slot):
        """The three owners of a slot, NONE where there are fewer."""
        if self.mode != ROUTE_OWNING:
            raise ValueError("no slot has an owner: this table spreads")
        return self.primary[slot], self.after[slot, 0], self.after[slot, 1]

    def says_the_same(self, Table other not None):
        """Whether whoever goes by the other one chooses the same numbers."""
        cdef Py_ssize_t n
        if self is other:
            return True
        if self.mode != other.mode or self.owners != other.owners:
            return False
        if self.mode == ROUTE_OWNING:
            return not (memcmp(&self.primary[0], &other.primary[0], 2 * N_SLOTS) or
                        memcmp(&self.after[0, 0], &other.after[0, 0], 4 * N_SLOTS))
        n = self.sequence.shape[0]
        return n == other.sequence.shape[0] and (n == 0 or memcmp(&self.sequence[0], &other.sequence[0], 2 * n) == 0)

cdef int set_up_area(Area* a, Table table, object places, uint32_t nowners, uint32_t turn) except -1:
    """The area goes by this table; places: its owner numbers -> those of the policy, None where they are the same."""
    cdef const uint16_t[::1] given
    cdef uint32_t i
    a.mode = <uint8_t>table.mode
    a.nowners = table.owners
    if table.mode == ROUTE_OWNING:
        a.primary = &table.primary[0]
        a.next = &table.after[0, 0]
    elif table.sequence.shape[0]:
        a.sequence = &table.sequence[0]
        a.nsequence = <uint32_t>table.sequence.shape[0]
        a.turn = turn % a.nsequence
    a.place = <uint16_t*>calloc(a.nowners + 1, sizeof(uint16_t))
    if a.place == NULL:
        raise MemoryError
    if places is not None:
        given = places
        if given.shape[0] != a.nowners:
            raise ValueError(f"{given.shape[0]} places for {a.nowners} owners")
    for i in range(a.nowners):
        a.place[i] = <uint16_t>i if places is None else given[i]
    check_owners(a.place, a.nowners, nowners, False, b"places")
    return 0

cdef class Routing:
    """How one worker routes by one policy: the tables of its areas, the own one first, and whose turn it is.

    places: by area, its owner numbers -> those of the policy, of which there are `owners`; without it there is one area,
    and they are the same.  turn: where in sequences to begin, so that workers do not all begin alike.
    """
    def __init__(self, tables, *, places=None, owners=None, uint32_t turn=0):
        cdef RoutingTable* r = &self.table
        cdef uint32_t i
        if r.areas != NULL:
            raise TypeError("a Routing is made once")
        self.tables = tuple(tables)
        if not 0 < len(self.tables) <= MAX_AREAS or (len(self.tables) > 1 and places is None):
            raise ValueError(f"a Routing has 1 to {MAX_AREAS} areas, and of several it needs to know the places")
        r.nareas = <uint32_t>len(self.tables)
        r.areas = <Area*>calloc(r.nareas, sizeof(Area))
        if r.nareas > 1:
            r.area_of = <uint8_t*>calloc(SERVICES, 1)
        if r.areas == NULL or (r.nareas > 1 and r.area_of == NULL):
            raise MemoryError
        r.nowners = self.tables[0].owners if owners is None else owners
        if r.nowners > MAX_BACKENDS:
            raise ValueError(f"{r.nowners} owners are more than {MAX_BACKENDS}")
        for i in range(r.nareas):
            set_up_area(&r.areas[i], self.tables[i], None if places is None else places[i], r.nowners, turn)

    def __dealloc__(self):
        cdef uint32_t i
        if self.table.areas != NULL:
            for i in range(self.table.nareas):
                end_transition(&self.table.areas[i])
                free(self.table.areas[i].place)
        free(self.table.areas)
        free(self.table.area_of)

    cdef Area* area(self, uint32_t number) except NULL:
        if number >= self.table.nareas:
            raise IndexError(f"area {number} of {self.table.nareas}")
        return &self.table.areas[number]

    # ---- who goes where

    def set_area(self, uint32_t service, uint32_t area):
        """Sends the service of a ledger number to an area, from the next tick on; 0 is the own one."""
        self.area(area)
        if service >= SERVICES:
            raise ValueError(f"service {service} of {SERVICES}")
        if self.table.area_of != NULL:
            self.table.area_of[service] = <uint8_t>area

    def area_of(self, uint32_t service):
        """The area that the service of a ledger number goes to."""
        if service >= SERVICES:
            raise ValueError(f"service {service} of {SERVICES}")
        return 0 if self.table.area_of == NULL else self.table.area_of[service]

    # ---- from one policy to the next

    def go_on(self, Routing old not None, *, uint32_t area=0, uint32_t old_area=0):
        """Goes on in an area where the former Routing is: whose turn it is, and the transition that is under way.

        For an area whose table and members are the same in both; the former Routing is not used any more.
        """
        cdef Area* a = self.area(area)
        cdef Area* o = old.area(old_area)
        if not (<Table>self.tables[area]).says_the_same(old.tables[old_area]):
            raise ValueError("the area goes by another table now")
        if old is self:
            raise ValueError("a Routing cannot follow itself")
        end_transition(a)
        a.turn = o.turn
        a.transition = o.transition
        o.transition = NULL

    def begin_transition(self, Routing old not None, const uint16_t[::1] owner_map not None, *, uint32_t area=0,
                         uint32_t old_area=0, int64_t now_ns, int64_t effective_ns, int64_t window_ns,
                         uint64_t effective_unix_ns, uint32_t remember_limit):
        """Keeps traces of an area with their former owner around the moment of a change; the number of slots that move.

        old: the Routing in use so far, not needed afterwards; owner_map: owner numbers of its area -> those of ours,
        NONE for those that left (their slots change hands at once).  Until effective_ns (monotonic, as now_ns) the
        former table holds, and up to remember_limit traces in slots that move are remembered; these, and spans that
        started before effective_unix_ns, stay for window_ns more.  Costs 384 KiB and 16 to 32 bytes per trace of the
        limit, until then.  Nothing moves slowly between spreading modes.  If old is itself in the window of a
        transition, the traces that it keeps back move now: let one end before the next begins.
        """
        cdef Area* a = self.area(area)
        cdef const Area* o = old.area(old_area)
        cdef const uint16_t* primary = o.primary
        cdef const uint16_t* next = o.next
        cdef Transition* x
        cdef uint16_t place[65536]
        cdef uint32_t i, moved = 0
        if old is self:
            raise ValueError("a Routing cannot follow itself")
        if owner_map.shape[0] != o.nowners:
            raise ValueError(f"the map has {owner_map.shape[0]} owners, the former policy {o.nowners}")
        end_transition(a)
        if a.mode != ROUTE_OWNING or o.mode != ROUTE_OWNING:
            return 0
        memset(place, 0xff, sizeof(place))
        for i in range(o.nowners):
            if owner_map[i] < a.nowners:
                place[i] = owner_map[i]
        x = transition_new(remember_limit)
        if x == NULL:
            raise MemoryError
        a.transition = x
        x.effective_ns = effective_ns
        x.until_ns = effective_ns + window_ns
        x.effective_unix_ns = effective_unix_ns
        if o.transition != NULL and now_ns < o.transition.effective_ns:
            primary = o.transition.primary
            next = o.transition.next
        for i in range(<uint32_t>N_SLOTS):
            if place[primary[i]] == OWNER_NONE:
                memcpy(&x.next[2 * i], &a.next[2 * i], 4)
                x.primary[i] = a.primary[i]
                continue
            x.primary[i] = place[primary[i]]
            x.next[2 * i] = place[next[2 * i]]
            x.next[2 * i + 1] = place[next[2 * i + 1]]
            moved += x.primary[i] != a.primary[i]
        if primary != o.primary:
            carry_over(o.transition, a)
        if moved == 0:
            end_transition(a)
        return moved

    # ---- figures, of all areas together

    def owners_of(self, uint16_t slot):
        """The three owners of a slot in the own area, NONE where there are fewer."""
        return self.tables[0].owners_of(slot)

    @property
    def detoured(self):
        """Items sent to the next owner of their slot, their own being down."""
        return self.table.detoured

    @property
    def stayed(self):
        """Items that a transition kept with the former owner of their trace after the change."""
        return self.table.stayed

    @property
    def fell_back(self):
        """Items kept in the own area, nobody being up in the one that a rule names."""
        return self.table.fell_back

    @property
    def split_by_rules(self):
        """Items that went to another area than the one before them of the same trace in the same request."""
        return self.table.split_by_rules

    @property
    def remembered(self):
        """Traces remembered by transitions that are under way, 0 without one."""
        cdef uint32_t i
        return sum(self.table.areas[i].transition.count for i in range(self.table.nareas)
                   if self.table.areas[i].transition != NULL)

    @property
    def passed_over(self):
        """Sightings of traces that these transitions did not remember, their limit being reached."""
        cdef uint32_t i
        return sum(self.table.areas[i].transition.passed_over for i in range(self.table.nareas)
                   if self.table.areas[i].transition != NULL)

    @property
    def in_transition(self):
        """Whether a transition was begun, and no tick has come after its end."""
        cdef uint32_t i
        return any(self.table.areas[i].transition != NULL for i in range(self.table.nareas))

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
