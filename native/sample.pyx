"""sample: decides for every item whether it is kept, writes `ot=th` on what is, and opens the books.

Rates are equalizing: an item is kept when its randomness is not below the highest of the threshold it came with and its
service's.  Shedding is proportional, on top of that.  An item without randomness is kept, unless nothing is to be.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp
from _edit cimport Recent, Shared, shared_edit, state_edit
from _ledger cimport SERVICES, book_received
from _outcome cimport set_note
from _tables cimport (ITEM_BAD_ID, ITEM_ERROR, ITEM_RANDOM, ITEM_STATE, OWNER_NONE, OWNER_SAMPLED_OUT, Doc, Item,
                      Resource, Tables)
from _threshold cimport RANDOM_DIGITS, RANDOM_END, probability_threshold, raised, write_threshold
from _tracestate cimport State, read_state
from _wire cimport read_len, read_tag
from _work cimport SIGNAL_LOGS, SIGNAL_TRACES, Request
from sidecar._native.scan cimport Tick

# ---- decisions

cdef struct Tally:
    uint64_t sampled_out      # units
    uint64_t rejected         # units
    uint32_t kept             # items
    uint32_t edited           # items
    uint64_t faults

cdef inline bint same_threshold(const State* st, uint64_t threshold) noexcept nogil:
    """Whether th is written as we write it."""
    cdef uint8_t text[16]
    return st.th_size == write_threshold(text, threshold) and memcmp(st.th, text, st.th_size) == 0

cdef inline bint judge_without(Item* item, uint64_t threshold, Tally* tally) noexcept nogil:
    """An item without randomness: data is not lost for that.  True when it should have had some."""
    if threshold == RANDOM_END:
        item.owner = OWNER_SAMPLED_OUT
        tally.sampled_out += item.units
    else:
        tally.kept += 1
    return threshold != 0

cdef bint judge_state(Tables* t, const uint8_t* b, Item* item, uint64_t own, uint64_t shed, int precision,
                      Recent* recent, Tally* tally) noexcept nogil:
    """A span that has a tracestate; True when there was something wrong with it."""
    cdef const uint8_t* text = b + item.state_off
    cdef State* st = &recent.st
    cdef uint32_t tag, n = 0
    cdef uint64_t came = 0, threshold
    cdef bint lies = False
    text = read_len(read_tag(text, b + item.state_end, &tag), b + item.state_end, &n)
    if st.text == NULL or st.size != n or memcmp(st.text, text, n) != 0:
        read_state(st, text, n)
        recent.written = False
    if st.has_rv:
        item.rand = st.rand
        item.flags |= ITEM_RANDOM
    if not item.flags & ITEM_RANDOM:
        return judge_without(item, raised(own, shed, precision), tally) or st.faults
    if st.th_size:
        lies = item.rand < st.threshold
        if not lies:
            came = st.threshold
    threshold = raised(came if came > own else own, shed, precision)
    if item.rand < threshold:
        item.owner = OWNER_SAMPLED_OUT
        tally.sampled_out += item.units
        return st.faults or lies
    tally.kept += 1
    if own == 0 and shed == 0:
        if not lies:
            return st.faults
        threshold = 0
    elif st.foreign or came > own and threshold == came or (
            st.th_size and not lies and same_threshold(st, threshold)):
        return st.faults
    item.edit = state_edit(t, b, item, recent, threshold)
    if item.edit == 0:
        return True
    tally.edited += 1
    return st.faults or lies

cdef void judge_resource(Tables* t, const Doc* d, const Resource* resource, const SamplingTable* s, uint64_t own,
                         uint64_t shed, Shared* shared, Recent* recent, Tally* tally) noexcept nogil:
    cdef Item* item
    cdef uint64_t thresholds[2]
    cdef uint32_t edits[2]
    cdef uint32_t i, k
    cdef bint keep, spans = d.request.signal == SIGNAL_TRACES
    thresholds[0] = raised(own, shed, s.precision)
    thresholds[1] = raised(own, s.shed[3], s.precision)
    for k in range(2):
        edits[k] = 0
        if spans and thresholds[k] and thresholds[k] < RANDOM_END:
            edits[k] = edits[0] if k and thresholds[1] == thresholds[0] else shared_edit(t, &shared[k], thresholds[k])
    for i in range(resource.item0, resource.item0 + resource.items):
        item = &t.items[i]
        k = 1 if item.flags & ITEM_ERROR else 0
        if item.flags & (ITEM_RANDOM | ITEM_STATE | ITEM_BAD_ID) == ITEM_RANDOM:
            keep = item.rand >= thresholds[k]
            item.owner = OWNER_NONE if keep else OWNER_SAMPLED_OUT
            item.edit = edits[k] if keep else 0
            tally.kept += keep
            tally.edited += item.edit != 0
            tally.sampled_out += 0 if keep else item.units
        elif item.flags & ITEM_BAD_ID:
            tally.rejected += item.units
        elif item.flags & ITEM_STATE and spans:
            tally.faults += judge_state(t, d.body, item, own, s.shed[3] if k else shed, s.precision, recent, tally)
        elif judge_without(item, thresholds[k], tally) and spans:   # log records need not belong to a trace
            tally.faults += 1

cdef inline void pass_resource(Tables* t, const Resource* resource, Tally* tally) noexcept nogil:
    """Nothing to decide: everything is kept but what scan has rejected."""
    cdef uint32_t i
    tally.kept += resource.items
    if resource.flags & ITEM_BAD_ID:
        for i in range(resource.item0, resource.item0 + resource.items):
            if t.items[i].flags & ITEM_BAD_ID:
                tally.rejected += t.items[i].units
                tally.kept -= 1

cdef void note_rejected(Request* r, uint64_t rejected) noexcept nogil:
    cdef char words[96]
    r.refused_items += <uint32_t>rejected
    snprintf(words, sizeof(words), b"%u %s%s with a trace id that is not 16 bytes long", <unsigned int>rejected,
             b"log record" if r.signal == SIGNAL_LOGS else b"span", b"s" if rejected > 1 else b"")
    set_note(r, words)

cdef void sample_doc(Tables* t, Doc* d, const SamplingTable* s, Shared* shared, Recent* recent) noexcept nogil:
    cdef Request* r = d.request
    cdef uint32_t signal = r.signal, i, edited = 0
    cdef uint64_t own, shed, rejected = 0
    cdef Resource* resource
    cdef Tally tally
    d.kept = d.edited = 0
    for i in range(d.resource0, d.resource0 + d.resources):
        resource = &t.resources[i]
        tally.sampled_out = tally.rejected = tally.faults = 0
        tally.kept = tally.edited = 0
        if s.signals >> signal & 1:
            own = s.services[resource.service] if s.services != NULL else s.threshold
            shed = s.shed[s.classes[resource.service] if s.classes != NULL else 1]
            if own or shed or s.shed[3] or (resource.flags & ITEM_STATE):
                judge_resource(t, d, resource, s, own, shed, shared, recent, &tally)
            else:
                pass_resource(t, resource, &tally)
        else:
            pass_resource(t, resource, &tally)
        book_received(t.core.ledger, signal, resource.service, resource.units, tally.sampled_out, tally.rejected)
        r.ok_items += <uint32_t>tally.sampled_out
        rejected += tally.rejected
        d.kept += tally.kept
        d.edited += tally.edited
        if tally.faults:
            t.core.ledger.page.worker.tracestate_bad += tally.faults
    if rejected:
        note_rejected(r, rejected)

cdef void sample_tick(Tables* t, SamplingTable* s) noexcept nogil:
    """Sets owner and edit of every item, kept and edited of every doc, and books what came in."""
    cdef Doc* d
    cdef uint32_t i, k
    cdef Shared shared[2]
    cdef Recent recent
    shared[0].edit = shared[1].edit = 0
    recent.st.text = NULL
    recent.written = False
    for i in range(t.ndocs):
        d = &t.docs[i]
        if d.request.judged:
            d.kept = d.items
            for k in range(d.item0, d.item0 + d.items):
                t.items[k].owner = OWNER_NONE
        else:
            sample_doc(t, d, s, shared, &recent)

# ---- Python

cdef class Sampling:
    """The thresholds of a policy.

    signals: numbers of those that are sampled; precision: hex digits of thresholds.
    """

    def __init__(self, double rate, frozenset signals, int precision=4):
        cdef int k
        self.table.threshold = probability_to_threshold(rate, precision)
        for signal in signals:
            self.table.signals |= <uint32_t>1 << <uint32_t>signal
        self.table.precision = precision

    def __dealloc__(self):
        free(self.table.services)
        free(self.table.classes)

    def set_service(self, uint32_t service, uint64_t threshold, uint8_t traffic_class=CLASS_NORMAL):
        """Gives the service of a ledger id its own threshold and class."""
        cdef uint32_t i
        if service >= SERVICES or threshold > RANDOM_END or traffic_class >= CLASS_ERRORS:
            raise ValueError("no such service, threshold or class")
        if self.table.services == NULL:
            self.table.services = <uint64_t*>malloc(SERVICES * sizeof(uint64_t))
            self.table.classes = <uint8_t*>malloc(SERVICES)
            if self.table.services == NULL or self.table.classes == NULL:
                raise MemoryError
            for i in range(<uint32_t>SERVICES):
                self.table.services[i] = self.table.threshold
                self.table.classes[i] = CLASS_NORMAL
        self.table.services[service] = threshold
        self.table.classes[service] = traffic_class

    def set_shed(self, uint8_t traffic_class, uint64_t threshold):
        """Sheds a class of traffic in proportion, on top of every rate."""
        if traffic_class >= CLASSES or threshold > RANDOM_END:
            raise ValueError("no such class or threshold")
        self.table.shed[traffic_class] = threshold


def probability_to_threshold(double probability, int precision=4):
    """T of a probability in [0, 1]; 0 keeps nothing: 2^56, which is no threshold that th may name."""
    if not 0 <= probability <= 1:
        raise ValueError(f"no probability: {probability}")
    if not 1 <= precision <= RANDOM_DIGITS:
        raise ValueError(f"precision is 1 to {RANDOM_DIGITS} hex digits: {precision}")
    return probability_threshold(probability, precision)


def threshold_to_text(uint64_t threshold):
    """T as th has it: hex without trailing zeros."""
    cdef uint8_t text[16]
    if threshold >= RANDOM_END:
        raise ValueError("a threshold is below 2^56")
    return text[:write_threshold(text, threshold)].decode()


def sample(Tick tick, Sampling sampling):
    """Judges the tick's items and books them; the number of items that are kept."""
    cdef uint64_t kept = 0
    cdef uint32_t i
    with nogil:
        sample_tick(&tick.tables, &sampling.table)
        for i in range(tick.tables.ndocs):
            kept += tick.tables.docs[i].kept
    return kept
