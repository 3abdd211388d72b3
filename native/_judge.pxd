"""Judging the items of one resource: which are kept, whom the others are charged to, and what is written on those."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp
from _edit cimport Recent, Shared, shared_edit, state_edit
from _ledger cimport ARRIVED, CAUSE_LIMIT, CAUSE_SHED, CAUSE_UPSTREAM
from _sampling cimport CLASS_ERRORS, Rule, SamplingTable
from _tables cimport (ITEM_BAD_ID, ITEM_ERROR, ITEM_RANDOM, ITEM_STATE, OWNER_NONE, OWNER_SAMPLED_OUT, Doc, Item,
                      Resource, Tables)
from _threshold cimport RANDOM_END, halvings, raised, write_threshold
from _tracestate cimport State, read_state
from _wire cimport read_len, read_tag
from _work cimport SIGNAL_TRACES

cdef struct Ask:              # what is asked of the items of a resource that have an error, or of those that have none
    uint64_t own              # equalizing
    uint64_t by               # in proportion, on top
    uint64_t threshold        # of both: for an item that came without th
    uint64_t highest          # of the parts
    uint32_t cause            # whose that is
    uint32_t edit             # of an item that has no tracestate; 0 = none

cdef struct Tally:            # of a resource
    uint64_t sampled_out[4]   # units, by Cause
    uint64_t rejected         # units
    uint32_t kept             # items
    uint32_t edited           # items
    uint32_t errors           # items
    uint32_t faults

cdef inline void ask(Ask* a, const Rule* rule, uint64_t shed, uint64_t limit, int precision) noexcept nogil:
    a.own = a.highest = rule.threshold
    a.cause = rule.cause
    if limit > a.highest:
        a.highest = limit
        a.cause = CAUSE_LIMIT
    if shed > a.highest:
        a.highest = shed
        a.cause = CAUSE_SHED
    a.by = raised(limit, shed, precision)
    a.threshold = raised(a.own, a.by, precision)
    a.edit = 0

cdef inline bint same_threshold(const State* st, uint64_t threshold) noexcept nogil:
    """Whether th is written as we write it."""
    cdef uint8_t text[16]
    return st.th_size == write_threshold(text, threshold) and memcmp(st.th, text, st.th_size) == 0

cdef inline bint judge_without(Item* item, const Ask* a, Tally* tally) noexcept nogil:
    """An item without randomness: data is not lost for that.  True when it should have had some."""
    if a.threshold == RANDOM_END:
        item.owner = OWNER_SAMPLED_OUT
        tally.sampled_out[a.cause] += item.units
    else:
        tally.kept += 1
    return a.threshold != 0

cdef inline bint judge_state(Tables* t, const uint8_t* b, Item* item, const Ask* a, int precision, uint64_t* arrived,
                      Recent* recent, Tally* tally) noexcept nogil:
    """A span that has a tracestate; True when there was something wrong with it."""
    cdef const uint8_t* text = b + item.state_off
    cdef State* st = &recent.st
    cdef uint32_t tag, n = 0, k
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
        return judge_without(item, a, tally) or st.faults
    if st.th_size:
        lies = item.rand < st.threshold
        if not lies:
            came = st.threshold
            k = halvings(came)
            if k:
                arrived[(k if k < ARRIVED else ARRIVED) - 1] += 1
    threshold = raised(came, a.by, precision) if came > a.own else a.threshold
    if item.rand < threshold:
        item.owner = OWNER_SAMPLED_OUT
        tally.sampled_out[CAUSE_UPSTREAM if came > a.highest else a.cause] += item.units
        return st.faults or lies
    tally.kept += 1
    if a.threshold == 0:
        if not lies:
            return st.faults
        threshold = 0
    elif st.foreign or came > a.own and threshold == came or (
            st.th_size and not lies and same_threshold(st, threshold)):
        return st.faults
    item.edit = state_edit(t, b, item, recent, threshold)
    if item.edit == 0:
        return True
    tally.edited += 1
    return st.faults or lies

cdef inline void judge_plain(Tables* t, const Resource* resource, const Ask* a, bint spans,
                             Tally* tally) noexcept nogil:
    """A resource whose items have no tracestate, no error and no bad id: most have neither."""
    cdef Item* item = &t.items[resource.item0]
    cdef Item* end = item + resource.items
    cdef uint64_t threshold = a.threshold, out = 0
    cdef uint32_t edit = a.edit, kept = 0
    cdef bint keep
    while item < end:
        if item.flags & ITEM_RANDOM:
            keep = item.rand >= threshold
            item.owner = OWNER_NONE if keep else OWNER_SAMPLED_OUT
            item.edit = edit if keep else 0
            kept += keep
            out += 0 if keep else item.units
        elif judge_without(item, a, tally) and spans:   # log records need not belong to a trace
            tally.faults += 1
        item += 1
    tally.kept += kept
    tally.edited += kept if edit else 0
    tally.sampled_out[a.cause] += out

cdef inline void judge_mixed(Tables* t, const Doc* d, const Resource* resource, const Ask* asks, int precision,
                             Recent* recent, Tally* tally) noexcept nogil:
    """Any other resource; asks: of items without an error, and with one."""
    cdef uint64_t* arrived = &t.core.ledger.page.spans[resource.service].arrived[0]
    cdef Item* item
    cdef const Ask* a
    cdef uint32_t i
    cdef bint keep, spans = d.request.signal == SIGNAL_TRACES
    for i in range(resource.item0, resource.item0 + resource.items):
        item = &t.items[i]
        a = &asks[0]
        if item.flags & ITEM_ERROR:
            a = &asks[1]
            tally.errors += 1
        if item.flags & (ITEM_RANDOM | ITEM_STATE | ITEM_BAD_ID) == ITEM_RANDOM:
            keep = item.rand >= a.threshold
            item.owner = OWNER_NONE if keep else OWNER_SAMPLED_OUT
            item.edit = a.edit if keep else 0
            tally.kept += keep
            tally.edited += item.edit != 0
            tally.sampled_out[a.cause] += 0 if keep else item.units
        elif item.flags & ITEM_BAD_ID:
            tally.rejected += item.units
        elif item.flags & ITEM_STATE and spans:
            tally.faults += judge_state(t, d.body, item, a, precision, arrived, recent, tally)
        elif judge_without(item, a, tally) and spans:
            tally.faults += 1

cdef inline void judge_resource(Tables* t, const Doc* d, const Resource* resource, const SamplingTable* s,
                                const Rule* rule, uint64_t limit, Shared* shared, Recent* recent,
                                Tally* tally) noexcept nogil:
    cdef Ask asks[2]
    cdef bint spans = d.request.signal == SIGNAL_TRACES
    ask(&asks[0], rule, s.shed[rule.traffic_class], limit, s.precision)
    if spans and asks[0].threshold and asks[0].threshold < RANDOM_END:
        asks[0].edit = shared_edit(t, &shared[0], asks[0].threshold)
    if resource.flags & (ITEM_ERROR | ITEM_STATE | ITEM_BAD_ID) == 0:
        judge_plain(t, resource, &asks[0], spans, tally)
        return
    ask(&asks[1], rule, s.shed[CLASS_ERRORS], limit, s.precision)
    if spans and asks[1].threshold and asks[1].threshold < RANDOM_END:
        asks[1].edit = asks[0].edit
        if asks[1].threshold != asks[0].threshold:
            asks[1].edit = shared_edit(t, &shared[1], asks[1].threshold)
    judge_mixed(t, d, resource, asks, s.precision, recent, tally)

cdef inline void pass_mixed(Tables* t, const Resource* resource, Tally* tally) noexcept nogil:
    """Nothing to decide: everything is kept but what scan has rejected."""
    cdef Item* item
    cdef uint32_t i
    tally.kept = resource.items
    for i in range(resource.item0, resource.item0 + resource.items):
        item = &t.items[i]
        tally.errors += 1 if item.flags & ITEM_ERROR else 0
        if item.flags & ITEM_BAD_ID:
            tally.rejected += item.units
            tally.kept -= 1
