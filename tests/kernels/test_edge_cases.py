"""Where encodings get odd: each case is one in which scan must do as protobuf's upb does, or differ on purpose."""

import pytest

from tests.kernels.otlp import (
    ITEM_BAD_ID,
    ITEM_ERROR,
    ITEM_RANDOM,
    ITEM_STATE,
    ITEM_STATE_TWICE,
    LOGS,
    METRICS,
    OWNER_REJECTED,
    PROFILES,
    SIGNALS,
    TRACES,
    parsed,
)
from tests.kernels.spans import (
    OTHER_ID,
    TRACE_ID,
    accepted,
    attribute,
    item,
    items,
    request,
    resource,
    resources,
    scanned,
    service,
    span,
)
from tests.kernels.wire import FIXED32, FIXED64, GROUP, LEN, VARINT, field, varint

END_GROUP = 4
ERROR = field(15, field(3, 2))


def group(number: int, inner: bytes, end: int | None = None) -> bytes:
    return varint(number << 3 | GROUP) + inner + varint((number if end is None else end) << 3 | END_GROUP)


# ---- tags, lengths, wire types


@pytest.mark.parametrize("size", range(1, 6))
def test_overlong_tags_are_read_by_their_number(size: int) -> None:
    body = varint(1 << 3 | LEN, size) + varint(0)
    assert parsed(TRACES, body) is not None
    assert len(resources(body)) == 1


@pytest.mark.parametrize(
    "tag",
    [
        varint(1 << 3 | LEN, 6),  # more than 5 bytes
        b"\x8a\x80\x80\x80\x10",  # more than 32 bits
        b"\x02",  # field 0
        b"\x8a\x80\x80\x80\x80\x01",  # field 2^32 and up
    ],
)
def test_tags_that_there_are_not(tag: bytes) -> None:
    body = tag + varint(0)
    assert parsed(TRACES, body) is None
    assert not accepted(body)


@pytest.mark.parametrize(("size", "fine"), [(2, True), (5, True), (6, False), (10, False)])
def test_overlong_lengths(size: int, fine: bool) -> None:
    body = b"\x0a" + varint(0, size)
    assert (parsed(TRACES, body) is not None) == fine
    assert accepted(body) == fine


@pytest.mark.parametrize("length", [1 << 31, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, (1 << 64) - 1, 5])
@pytest.mark.parametrize("signal", SIGNALS)
def test_lengths_past_the_end(signal: int, length: int) -> None:
    for body in (
        b"\x0a" + varint(length),
        field(1, b"\x12" + varint(length)),
        field(1, field(2, b"\x12" + varint(length))),
    ):
        assert parsed(signal, body) is None
        assert not accepted(body, signal)


@pytest.mark.parametrize("body", [b"\x0a", b"\x80", b"\x0a\x80", b"\x08\x80", b"\x08" + b"\x80" * 10 + b"\x00"])
def test_truncated_varints(body: bytes) -> None:
    assert parsed(TRACES, body) is None
    assert not accepted(body)


@pytest.mark.parametrize("tenth", [1, 2, 127])
def test_bits_above_64_are_dropped(tenth: int) -> None:
    body = varint(100 << 3) + b"\x80" * 9 + bytes([tenth])
    assert parsed(TRACES, body) is not None
    assert accepted(body)


@pytest.mark.parametrize("kind", [6, 7])
def test_wire_types_that_there_are_not(kind: int) -> None:
    for body in (bytes([1 << 3 | kind, 0]), request(span(rest=bytes([5 << 3 | kind, 0])))):
        assert parsed(TRACES, body) is None
        assert not accepted(body)


def test_a_known_field_of_another_wire_type_is_unknown() -> None:
    """Kept as it came, unlike the Collector, which refuses the request."""
    odd = field(1, 7) + field(2, 7, FIXED32)
    body = odd + field(1, odd + field(1, resource()) + field(2, odd + field(2, field(1, 5) + span())))
    assert parsed(TRACES, body) is not None
    tick = scanned(body)
    assert tick is not None
    (doc,), (row,), (scope,) = tick.docs(), tick.resources(), tick.scopes()
    assert (doc.frags, row.frag_bytes, scope.frag_bytes) == (1, len(odd + field(1, resource())), len(odd))
    assert tick.items()[0].flags == ITEM_RANDOM


@pytest.mark.parametrize("kind", [VARINT, FIXED64])
def test_flags_of_another_wire_type_are_unknown(kind: int) -> None:
    assert item(span(), field(16, 257, kind)).flags == ITEM_RANDOM


# ---- groups


@pytest.mark.parametrize(
    ("inner", "fine"),
    [
        (group(100, b""), True),
        (group(100, group(101, field(1, 5)) + field(2, b"x")), True),
        (group(1, field(1, TRACE_ID)), True),  # fields inside are nobody's
        (group(100, b"\x05\0\0\0\0"), True),  # a field 0 inside
        (group(100, b"", end=101), False),
        (group(100, group(101, b"", end=100), end=101), False),
        (varint(100 << 3 | GROUP), False),
        (varint(100 << 3 | END_GROUP), False),
        (group(100, b"\x0a\x05"), False),
    ],
)
def test_groups(inner: bytes, fine: bool) -> None:
    for body in (inner, field(1, inner), field(1, field(2, inner)), request(span(rest=inner)), request(resource=inner)):
        assert (parsed(TRACES, body) is not None) == fine
        assert accepted(body) == fine
    if fine:
        assert item(inner, span()).rand == int.from_bytes(TRACE_ID[9:])


@pytest.mark.parametrize("depth", [1, 50, 99, 100, 101, 150])
def test_deep_groups(depth: int) -> None:
    """What protobuf takes, we take; it counts the messages around a group too."""
    for levels in (0, 1, 2, 3):
        body = varint(100 << 3 | GROUP) * depth + varint(100 << 3 | END_GROUP) * depth
        for number in (2, 2, 1)[3 - levels :]:
            body = field(number, body)
        assert accepted(body) or parsed(TRACES, body) is None
        assert accepted(body) == (depth <= 100)


def test_deep_values_are_not_opened() -> None:
    value = b""
    for _ in range(60):
        value = field(5, field(1, value))
    body = request(span(rest=field(9, field(1, b"k") + field(2, value))))
    assert parsed(TRACES, body) is None
    assert accepted(body)


# ---- fields that come twice


def test_the_last_trace_id_holds() -> None:
    assert item(span(OTHER_ID), field(1, TRACE_ID)).rand == int.from_bytes(TRACE_ID[9:])
    assert item(span(OTHER_ID), field(1, TRACE_ID)).hash == item(span(TRACE_ID)).hash
    assert item(span(TRACE_ID), field(1, b"")).flags == 0


def test_the_last_trace_state_holds() -> None:
    row = item(span(state="a=1"), field(3, b"b=2"))
    assert row.flags == ITEM_RANDOM | ITEM_STATE | ITEM_STATE_TWICE
    assert row.state_end - row.state_off == len(field(3, b"b=2"))
    assert row.state_end == row.end


def test_statuses_merge() -> None:
    message, code = field(15, field(2, b"words")), field(15, field(3, 2))
    assert item(span(), message, code).flags & ITEM_ERROR
    assert item(span(), code, message).flags & ITEM_ERROR
    assert not item(span(), code, field(15, field(3, 1))).flags & ITEM_ERROR
    assert not item(span(), code, field(15, field(3, 0))).flags & ITEM_ERROR
    assert item(span(), field(15, field(3, 1) + field(3, 2))).flags & ITEM_ERROR


@pytest.mark.parametrize(("code", "error"), [(2, True), (2 + (1 << 32), True), (258, False), (-2, False), (1, False)])
def test_a_code_is_32_bits(code: int, error: bool) -> None:
    row = item(span(), field(15, field(3, code)))
    assert bool(row.flags & ITEM_ERROR) == error


def test_resources_merge() -> None:
    cart, host = resource("cart"), field(1, attribute("host.name", "h"))
    assert service(host, cart) == b"cart"
    assert service(cart, resource("checkout")) == b"cart"
    assert service(b"", b"") == b"unknown_service"
    assert (
        resources(request(span(), resource=cart))[0].hash == resources(request(span(), span(), resource=cart))[0].hash
    )
    assert resources(request(span(), resource=cart))[0].hash != resources(request(span(), resource=host))[0].hash


def test_a_resource_may_come_last() -> None:
    tick = scanned(field(1, field(2, field(2, span())) + field(1, resource("cart"))))
    assert tick is not None
    assert tick.service(tick.resources()[0].service) == b"cart"


# ---- service.name


def key_value(*parts: bytes) -> bytes:
    return field(1, b"".join(parts))


KEY = field(1, b"service.name")


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        (b"", b"unknown_service"),
        (key_value(KEY, field(2, field(1, b"cart"))), b"cart"),
        (key_value(field(2, field(1, b"cart")), KEY), b"cart"),
        (key_value(field(1, b"x"), KEY, field(2, field(1, b"cart"))), b"cart"),  # the last key
        (key_value(KEY, field(1, b"x"), field(2, field(1, b"cart"))), b"unknown_service"),
        (key_value(KEY, field(2, field(1, b"a")), field(2, field(1, b"b"))), b"b"),  # values merge
        (key_value(KEY, field(2, field(1, b"a")), field(2, b"")), b"a"),
        (key_value(KEY, field(2, field(1, b"a")), field(2, field(3, 7))), b"unknown_service"),
        (key_value(KEY, field(2, field(3, 7) + field(1, b"a"))), b"a"),
        (key_value(KEY, field(2, field(3, 7))), b"unknown_service"),
        (key_value(KEY, field(2, field(7, b"bytes"))), b"unknown_service"),
        (key_value(KEY, field(2, field(1, b"a") + field(8, 1))), b"unknown_service"),  # an index into a dictionary
        (key_value(KEY, field(2, field(1, b"a") + field(3, b"x"))), b"a"),  # a member of another wire type is none
        (key_value(KEY), b"unknown_service"),
        (key_value(KEY, field(2, field(1, b""))), b"unknown_service"),
        (key_value(KEY, field(2, field(1, b"a"))) + key_value(KEY, field(2, field(1, b"b"))), b"a"),  # the first wins
        (key_value(KEY) + key_value(KEY, field(2, field(1, b"b"))), b"unknown_service"),  # whatever it is
        (key_value(field(3, 1), field(2, field(1, b"b"))), b"unknown_service"),  # key_strindex is for profiles
        (field(2, 3) + field(3, b"\x0a\x00") + key_value(KEY, field(2, field(1, b"a"))), b"a"),
    ],
)
def test_service_names(attributes: bytes, name: bytes) -> None:
    assert service(attributes) == name
    assert service(attributes, b"") == name


def test_long_names_are_told_apart() -> None:
    tick = scanned(b"".join(request(span(), resource=resource("x" * 300 + end)) for end in ("a", "b", "a")))
    assert tick is not None
    first, second, third = (row.service for row in tick.resources())
    assert first == third != second
    assert tick.service(first) == b"x" * 255


def test_damage_in_a_resource_is_seen_where_we_look() -> None:
    assert not accepted(request(span(), resource=b"\x0a\x05\x0a"))
    assert not accepted(request(span(), resource=field(1, b"\x0a\x0d" + b"service.name")))
    assert accepted(request(span(), resource=resource("cart") + field(1, b"\x0a\x05")))  # behind the name


# ---- ids


@pytest.mark.parametrize("size", [1, 8, 15, 17, 32])
@pytest.mark.parametrize(("signal", "number"), [(TRACES, 1), (LOGS, 9)])
def test_ids_of_another_length_are_rejected(signal: int, number: int, size: int) -> None:
    """Alone: the Collector would refuse the whole request, and with it what it is merged with."""
    good, bad = field(number, TRACE_ID), field(number, bytes(range(size)))
    rows = items(request(good, bad, good), signal)
    assert [row.owner == OWNER_REJECTED for row in rows] == [False, True, False]
    assert [bool(row.flags & ITEM_BAD_ID) for row in rows] == [False, True, False]


@pytest.mark.parametrize("content", [b"", field(1, b""), field(1, bytes(16))])
def test_spans_without_an_id_go_by_their_bytes(content: bytes) -> None:
    tick = scanned(request(content + field(5, b"a"), content + field(5, b"b"), content + field(5, b"a"), resource=b""))
    assert tick is not None
    a, b, again = tick.items()
    assert a.flags == b.flags == 0
    assert a.hash == again.hash != b.hash
    assert tick.figures()[0] == 3


@pytest.mark.parametrize(("signal", "first"), [(LOGS, b""), (LOGS, field(9, bytes(16))), (METRICS, b"")])
def test_others_without_an_id_go_by_their_resource(signal: int, first: bytes) -> None:
    tick = scanned(request(first, field(1, b"x" * 8), resource=resource()), signal)
    assert tick is not None
    assert {row.hash for row in tick.items()} == {tick.resources()[0].hash}
    assert tick.figures()[0] == 0


def test_profiles_go_whole() -> None:
    body = request(b"", resource=resource("a")) + request(b"", b"", resource=resource("b")) + field(2, field(5, b""))
    tick = scanned(body, PROFILES)
    assert tick is not None
    assert tick.docs()[0].whole
    assert {row.hash for row in tick.items()} == {tick.resources()[0].hash}


# ---- data points


def metric(*kinds: tuple[int, int]) -> bytes:
    return b"".join(field(number, field(1, b"") * points + field(2, 1)) for number, points in kinds)


@pytest.mark.parametrize(
    ("kinds", "units"),
    [
        ([(5, 1)], 1),
        ([(7, 2)], 2),
        ([(9, 3)], 3),
        ([(10, 4)], 4),
        ([(11, 5)], 5),
        ([(7, 2), (7, 3)], 5),  # merged
        ([(7, 2), (5, 3)], 3),  # replaced
        ([(7, 2), (5, 3), (7, 1)], 1),
        ([(7, 0)], 0),
        ([], 0),
        ([(12, 4)], 0),  # metadata
        ([(4, 4)], 0),
    ],
)
def test_a_metric_counts_its_points(kinds: list[tuple[int, int]], units: int) -> None:
    body = request(metric(*kinds), metric((5, 1)))
    message = parsed(METRICS, body)
    assert message is not None
    assert [row.units for row in items(body, METRICS)] == [units, 1]
    assert resources(body, METRICS)[0].units == units + 1


# ---- nothing in it


@pytest.mark.parametrize("body", [b"", field(1, b""), field(1, field(2, b"")), field(1, field(2, field(3, b"schema")))])
@pytest.mark.parametrize("signal", SIGNALS)
def test_empty_requests_are_fine(signal: int, body: bytes) -> None:
    assert items(body, signal) == []


def test_strings_are_not_looked_at() -> None:
    """protobuf refuses what is not UTF-8; it is for the backend to say so."""
    body = request(span(rest=field(5, b"\xff")), resource=resource() + field(1, field(1, b"\xff")))
    assert parsed(TRACES, body) is None
    assert accepted(body)
    assert accepted(request(span(rest=field(5, b"a\0b") + field(6, -1) + field(6, 99))))


# ---- field 1000


def test_old_scopes_beside_new_ones_are_left_out() -> None:
    """They are copies of the same spans; in every part they would be doubled."""
    body = field(1, field(1, resource()) + field(1000, field(2, span()) * 2) + field(2, field(2, span(OTHER_ID))))
    tick = scanned(body)
    assert tick is not None
    (row,), (doc,) = tick.resources(), tick.docs()
    assert (row.items, row.dropped, row.frag_bytes, doc.dropped) == (1, 1, len(field(1, resource())), 1)
    assert tick.figures()[1] == 1


@pytest.mark.parametrize("signal", [TRACES, LOGS, METRICS])
def test_old_scopes_alone_are_scopes(signal: int) -> None:
    """Written anew as field 2: `dropped` says that the message may not go as it came."""
    body = field(1, field(1000, field(2, b"")) + field(1000, field(2, b"") * 2) + field(3, b"schema"))
    tick = scanned(body, signal)
    assert tick is not None
    (row,) = tick.resources()
    assert (row.scopes, row.items, row.dropped, row.frag_bytes) == (2, 3, 1, len(field(3, b"schema")))
    assert tick.figures()[1] == 0


def test_old_scopes_of_another_wire_type_are_unknown() -> None:
    (row,) = resources(field(1, field(1000, 5) + field(2, b"")))
    assert (row.scopes, row.dropped, row.frags) == (1, 0, 1)


def test_profiles_never_had_old_scopes() -> None:
    (row,) = resources(field(1, field(1000, field(2, b""))), PROFILES)
    assert (row.scopes, row.dropped, row.frags) == (0, 0, 1)
