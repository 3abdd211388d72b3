"""sample: decides for every item whether it is kept, writes `ot=th` on what is, and opens the books.

Rates are equalizing: an item is kept when its randomness is not below the highest of the threshold it came with and its
service's.  Limits and shedding are proportional, on top of that.  An item without randomness is kept, unless nothing is
to be.  What is sampled out is charged to whoever has the highest threshold.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset
from _edit cimport Recent, Shared
from _judge cimport Tally, judge_resource, pass_mixed
from _ledger cimport CAUSE_RATE, CAUSES, SERVICES, ServiceFigures, book_kept, book_received
from _limit cimport Limits, spend
from _outcome cimport set_note
from _ration cimport ration, wait_ms
from _sampling cimport CLASS_ERRORS, CLASS_HIGH, CLASS_LOW, CLASS_NORMAL, CLASSES, Rule, SamplingTable, rule_of
from _tables cimport ITEM_BAD_ID, ITEM_ERROR, ITEM_STATE, OWNER_NONE, OWNER_REJECTED, Doc, Resource, Tables
from _threshold cimport RANDOM_DIGITS, RANDOM_END, probability_threshold, write_threshold
from _work cimport SIGNAL_LOGS, SIGNAL_TRACES, Request
from sidecar._native.scan cimport Tick

# ---- documents

cdef void refuse_doc(Tables* t, Doc* d, uint32_t retry_after_ms) noexcept nogil:
    """All of a request is rejected; split, which finds nothing to write, ends it as UNAVAILABLE with RetryInfo."""
    cdef Request* r = d.request
    cdef const Resource* resource
    cdef uint64_t nothing[4]
    cdef uint32_t i, k
    nothing[0] = nothing[1] = nothing[2] = nothing[3] = 0
    d.kept = d.edited = 0
    for i in range(d.resource0, d.resource0 + d.resources):
        resource = &t.resources[i]
        for k in range(resource.item0, resource.item0 + resource.items):
            t.items[k].owner = OWNER_REJECTED
            if t.items[k].flags & ITEM_ERROR:
                t.core.ledger.page.spans[resource.service].errors += 1
        book_received(t.core.ledger, r.signal, resource.service, resource.units, nothing, resource.units)
        t.core.ledger.page.worker.over_limit += resource.units
    r.retryable = 1
    r.retry_after_ms = retry_after_ms
    set_note(r, b"the limit of spans per second is used up")

cdef void note_rejected(Request* r, uint64_t rejected) noexcept nogil:
    cdef char words[96]
    r.refused_items += <uint32_t>rejected
    snprintf(words, sizeof(words), b"%u %s%s with a trace id that is not 16 bytes long", <unsigned int>rejected,
             b"log record" if r.signal == SIGNAL_LOGS else b"span", b"s" if rejected > 1 else b"")
    set_note(r, words)

cdef inline void book(Tables* t, Doc* d, const Resource* resource, Limits* limits, const Tally* tally) noexcept nogil:
    """What sampling has made of a resource, into the books."""
    cdef Request* r = d.request
    cdef ServiceFigures* f
    cdef uint64_t left = book_received(t.core.ledger, r.signal, resource.service, resource.units, tally.sampled_out,
                                       tally.rejected)
    r.ok_items += <uint32_t>(resource.units - tally.rejected - left)
    d.kept += tally.kept
    d.edited += tally.edited
    t.core.ledger.page.worker.tracestate_bad += tally.faults
    if r.signal == SIGNAL_TRACES:
        f = &t.core.ledger.page.spans[resource.service]
        f.errors += tally.errors
        f.kept += left
        if left:
            f.kept_bytes += (resource.end - resource.off) * left // resource.units
        if limits != NULL:
            spend(limits, resource.service, left)

cdef inline void book_whole(Tables* t, Doc* d, const Resource* resource, Limits* limits) noexcept nogil:
    """The same for one that is kept as it came, and has no errors."""
    cdef ServiceFigures* f
    book_kept(t.core.ledger, d.request.signal, resource.service, resource.units)
    d.kept += resource.items
    if d.request.signal == SIGNAL_TRACES and resource.units:
        f = &t.core.ledger.page.spans[resource.service]
        f.kept += resource.units
        f.kept_bytes += resource.end - resource.off
        if limits != NULL:
            spend(limits, resource.service, resource.units)

cdef void sample_doc(Tables* t, Doc* d, const SamplingTable* s, Shared* shared, Recent* recent) noexcept nogil:
    cdef Request* r = d.request
    cdef bint sampled = s.signals >> r.signal & 1
    cdef Limits* limits = s.limits if sampled else NULL
    cdef uint64_t limit = 0, rejected = 0
    cdef const Resource* resource
    cdef const Rule* rule
    cdef uint32_t i, pause = 0
    cdef Tally tally
    if limits != NULL and limits.refuse and r.signal == SIGNAL_TRACES and d.items:
        pause = wait_ms(t, d, limits)
        if pause:
            refuse_doc(t, d, pause)
            return
    d.kept = d.edited = 0
    for i in range(d.resource0, d.resource0 + d.resources):
        resource = &t.resources[i]
        rule = rule_of(s, resource.service)
        if limits != NULL and not limits.refuse:
            limit = limits.services[resource.service].by
        if sampled and (rule.threshold or limit or s.shed[rule.traffic_class] or s.shed[CLASS_ERRORS] or (
                resource.flags & ITEM_STATE)):
            memset(&tally, 0, sizeof(tally))
            judge_resource(t, d, resource, s, rule, limit, shared, recent, &tally)
        elif resource.flags & (ITEM_BAD_ID | ITEM_ERROR):
            memset(&tally, 0, sizeof(tally))
            pass_mixed(t, resource, &tally)
        else:
            book_whole(t, d, resource, limits)
            continue
        book(t, d, resource, limits, &tally)
        rejected += tally.rejected
    if rejected:
        note_rejected(r, rejected)

cdef void sample_tick(Tables* t, SamplingTable* s) noexcept nogil:
    """Sets owner and edit of every item, kept and edited of every doc, and books what came in."""
    cdef Doc* d
    cdef uint32_t i, k
    cdef Shared shared[2]
    cdef Recent recent
    shared[0].edit = shared[1].edit = 0
    shared[0].threshold = shared[1].threshold = 0
    recent.st.text = NULL
    recent.written = False
    if s.limits != NULL:
        ration(t, s)
    for i in range(t.ndocs):
        d = &t.docs[i]
        if d.request.judged:
            d.kept = d.items
            for k in range(d.item0, d.item0 + d.items):
                t.items[k].owner = OWNER_NONE
        else:
            sample_doc(t, d, s, shared, &recent)

# ---- Python

HIGH = CLASS_HIGH
NORMAL = CLASS_NORMAL
LOW = CLASS_LOW
ERRORS = CLASS_ERRORS

cdef class Sampling:
    """The thresholds of a policy: 0 keeps everything, 2^56 nothing.

    rate, traffic_class: of services that have none of their own; signals: numbers of those that are sampled;
    precision: hex digits of thresholds that are rounded.
    """

    def __init__(self, double rate, frozenset signals, int precision=4, uint8_t traffic_class=CLASS_NORMAL):
        if traffic_class >= CLASS_ERRORS:
            raise ValueError("no such class")
        self.table.rule.threshold = probability_to_threshold(rate, precision)
        self.table.rule.traffic_class = traffic_class
        self.table.rule.cause = CAUSE_RATE
        for signal in signals:
            self.table.signals |= <uint32_t>1 << <uint32_t>signal
        self.table.precision = precision

    def __dealloc__(self):
        free(self.table.services)
        free(self.table.limits)

    def set_service(self, uint32_t service, uint64_t threshold, uint8_t traffic_class=CLASS_NORMAL,
                    uint8_t cause=CAUSE_RATE):
        """Gives the service of a ledger id its own threshold, class and cause."""
        cdef SamplingTable* s = &self.table
        cdef uint32_t i
        if service >= SERVICES or threshold > RANDOM_END or traffic_class >= CLASS_ERRORS or cause >= CAUSES:
            raise ValueError("no such service, threshold, class or cause")
        if s.services == NULL:
            s.services = <Rule*>malloc(SERVICES * sizeof(Rule))
            if s.services == NULL:
                raise MemoryError
            for i in range(<uint32_t>SERVICES):
                s.services[i] = s.rule
        s.services[service].threshold = threshold
        s.services[service].traffic_class = traffic_class
        s.services[service].cause = cause

    def rule(self, uint32_t service):
        """(threshold, class, cause) of a service."""
        if service >= SERVICES:
            raise ValueError("no such service")
        cdef const Rule* rule = rule_of(&self.table, service)
        return rule.threshold, rule.traffic_class, rule.cause

    def set_shed(self, uint8_t traffic_class, uint64_t threshold):
        """Sheds a class of traffic in proportion, on top of every rate."""
        if traffic_class >= CLASSES or threshold > RANDOM_END:
            raise ValueError("no such class or threshold")
        self.table.shed[traffic_class] = threshold

    def set_limits(self, double per_s, double burst, double service_per_s, double service_burst, bint refuse=False):
        """Limits on the spans that are kept per second, of all services and of each; 0 is none.  Buckets are full."""
        cdef Limits* l = self.table.limits
        if not (0 <= per_s and 0 <= burst and 0 <= service_per_s and 0 <= service_burst):
            raise ValueError("a limit is 0 or more")
        if l == NULL:
            l = self.table.limits = <Limits*>calloc(1, sizeof(Limits))
            if l == NULL:
                raise MemoryError
        l.per_s = per_s
        l.burst = burst
        l.service_per_s = service_per_s
        l.service_burst = service_burst
        l.refuse = refuse

    def follow(self, Sampling former not None):
        """Goes on with the buckets of the former policy: a new one is no fresh start, and debts stay.

        Buckets that nothing was limited by are not gone on with: they were spent from, and never filled.
        """
        cdef Limits* l = self.table.limits
        cdef const Limits* f = former.table.limits
        if l != NULL and f != NULL and f.per_s > 0:
            l.total = f.total
        if l != NULL and f != NULL and f.service_per_s > 0:
            memcpy(l.services, f.services, sizeof(l.services))

    def levels(self, uint32_t service=0):
        """Tokens in the bucket of all services and in that of one, as of its last tick; a debt is below 0.

        None without limits.
        """
        if service >= SERVICES:
            raise ValueError("no such service")
        if self.table.limits == NULL:
            return None
        return self.table.limits.total.level, self.table.limits.services[service].level


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
