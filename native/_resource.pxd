"""The Resource message: its service name and its hash, read once per exporter rather than once per request."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy
from _hash cimport hash_bytes, mix64
from _ledger cimport Ledger, ledger_service
from _otlp cimport TAG_ATTRIBUTES, TAG_KEY, TAG_RESOURCE, TAG_VALUE
from _wire cimport read_len, read_tag, skip_value

cdef enum:
    KNOWN = 16                # resources that are remembered
    KNOWN_BYTES = 2048        # size up to which they are

cdef struct Known:            # a Resource message that was read before
    uint32_t size             # 0 = none
    uint32_t service
    uint64_t hash
    uint8_t bytes[2048]

cdef struct Text:
    const uint8_t* p          # NULL = there is none
    uint32_t n

cdef inline bint merge_value(const uint8_t* p, const uint8_t* e, Text* text) noexcept nogil:
    """One AnyValue into what earlier ones gave: its last member holds; text.p is NULL when that is no string."""
    cdef uint32_t tag, n
    while p < e:
        p = read_tag(p, e, &tag)
        if p == NULL:
            return False
        if tag == 0x0a:
            p = read_len(p, e, &n)
            if p == NULL:
                return False
            text.p = p
            text.n = n
            p += n
            continue
        p = skip_value(p, e, tag)
        if p == NULL:
            return False
        if tag in (0x10, 0x18, 0x21, 0x2a, 0x32, 0x3a, 0x40):
            text.p = NULL
    return True

cdef inline bint read_attribute(const uint8_t* p, const uint8_t* e, Text* key, Text* value) noexcept nogil:
    """The last key and the merged value of a KeyValue."""
    cdef uint32_t tag, n
    key.p = value.p = NULL
    key.n = value.n = 0
    while p < e:
        p = read_tag(p, e, &tag)
        if p == NULL:
            return False
        if tag == TAG_KEY or tag == TAG_VALUE:
            p = read_len(p, e, &n)
            if p == NULL:
                return False
            if tag == TAG_KEY:
                key.p = p
                key.n = n
            elif not merge_value(p, p + n, value):
                return False
            p += n
        else:
            p = skip_value(p, e, tag)
            if p == NULL:
                return False
    return True

cdef inline bint read_service(const uint8_t* p, const uint8_t* e, Text* name, bint* found) noexcept nogil:
    """service.name of one Resource message: the first attribute of that key decides, also over several messages."""
    cdef uint32_t tag, n
    cdef Text key, value
    while p < e:
        p = read_tag(p, e, &tag)
        if p == NULL:
            return False
        if tag == TAG_ATTRIBUTES:
            p = read_len(p, e, &n)
            if p == NULL:
                return False
            if not found[0]:
                if not read_attribute(p, p + n, &key, &value):
                    return False
                if key.n == 12 and memcmp(key.p, b"service.name", 12) == 0:
                    found[0] = True
                    name[0] = value
            p += n
        else:
            p = skip_value(p, e, tag)
            if p == NULL:
                return False
    return True

cdef inline uint32_t service_number(Ledger* ledger, const Text* name) noexcept nogil:
    if name.p == NULL or name.n == 0:
        return ledger_service(ledger, b"unknown_service", 15)
    return ledger_service(ledger, name.p, name.n)

cdef inline bint read_resource(Known* known, Ledger* ledger, const uint8_t* p, uint32_t n, uint32_t* service,
                               uint64_t* hash) noexcept nogil:
    """Service and hash of the Resource message p .. p + n, which is all there is of it."""
    cdef Known* k = NULL
    cdef Text name
    cdef bint found = False
    cdef uint64_t middle, last
    if 8 <= n <= KNOWN_BYTES:
        memcpy(&middle, p + (n - 8) // 2, 8)
        memcpy(&last, p + n - 8, 8)
        k = &known[((middle ^ last ^ n) * <uint64_t>0xd6e8feb86659fd93) >> 60]
        if k.size == n and memcmp(k.bytes, p, n) == 0:
            service[0] = k.service
            hash[0] = k.hash
            return True
    name.p = NULL
    if not read_service(p, p + n, &name, &found):
        return False
    service[0] = service_number(ledger, &name)
    hash[0] = hash_bytes(p, n)
    if k != NULL:
        k.size = n
        k.service = service[0]
        k.hash = hash[0]
        memcpy(k.bytes, p, n)
    return True

cdef inline bint merge_resource(Ledger* ledger, const uint8_t* p, const uint8_t* e, uint32_t* service,
                                uint64_t* hash) noexcept nogil:
    """The same where the Resource* at p .. e, whose framing has been checked, has not exactly one Resource message."""
    cdef uint32_t tag, n
    cdef Text name
    cdef bint found = False
    name.p = NULL
    hash[0] = 0
    while p < e:
        p = read_tag(p, e, &tag)
        if p == NULL:
            return False
        if tag == TAG_RESOURCE:
            p = read_len(p, e, &n)
            if p == NULL or not read_service(p, p + n, &name, &found):
                return False
            hash[0] = mix64(hash[0]) ^ hash_bytes(p, n)
            p += n
        else:
            p = skip_value(p, e, tag)
            if p == NULL:
                return False
    service[0] = service_number(ledger, &name)
    return True
