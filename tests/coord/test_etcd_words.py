"""What can be said of the etcd store without an etcd: errors, ranges, tokens, and how responses become batches."""

import asyncio
import base64
import json
import random
from typing import Any, cast

import pytest
from aetcd import rpc
from grpc import StatusCode
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.clock import SystemClock
from sidecar.config.schema import CoordinationConfig
from sidecar.coord import etcd_watch
from sidecar.coord.etcd_cluster import Cluster
from sidecar.coord.etcd_errors import Refusal
from sidecar.coord.etcd_health import _is_good
from sidecar.coord.etcd_keys import Range, decoded, encoded, successor
from sidecar.coord.etcd_member import Member
from sidecar.coord.etcd_stream import Streams
from sidecar.coord.etcd_token import Token, life_s
from sidecar.coord.etcd_watch import Watch
from sidecar.coord.store import (
    Batch,
    Compacted,
    Kind,
    LeaseGone,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
    WentBack,
)

NO_SUCH_TOKEN = Refusal(StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token")


@pytest.mark.parametrize(
    ("code", "words", "meaning"),
    [
        (StatusCode.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted", Compacted),
        (StatusCode.OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision", WentBack),
        (StatusCode.NOT_FOUND, "etcdserver: requested lease not found", LeaseGone),
        (StatusCode.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", StoreFull),
        (StatusCode.INVALID_ARGUMENT, "etcdserver: request is too large", StoreFull),
        (StatusCode.RESOURCE_EXHAUSTED, "etcdserver: too many requests", StoreUnavailable),
        (StatusCode.PERMISSION_DENIED, "etcdserver: permission denied", StoreDenied),
        (StatusCode.CANCELLED, "rpc error: code = PermissionDenied desc = etcdserver: permission denied", StoreDenied),
        (StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token", StoreDenied),
        (StatusCode.INVALID_ARGUMENT, "etcdserver: authentication failed, invalid user ID or password", StoreDenied),
        (StatusCode.UNAVAILABLE, "etcdserver: request timed out", StoreUnavailable),
        (StatusCode.UNAVAILABLE, "etcdserver: no leader", StoreUnavailable),
        (StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", StoreUnavailable),
        (StatusCode.DATA_LOSS, "etcdserver: corrupt cluster", StoreUnavailable),
        (StatusCode.UNKNOWN, "what nobody has seen yet", StoreUnavailable),
        (StatusCode.UNIMPLEMENTED, "", StoreUnavailable),
    ],
)
def test_what_etcd_says_means(code: StatusCode, words: str, meaning: type[StoreError]) -> None:
    error = Refusal(code, words).told_by("10.0.0.1:2379")
    assert type(error) is meaning
    assert error.message == f"etcd at 10.0.0.1:2379: {words or code.name}"


def test_only_what_cannot_have_happened_may_be_repeated() -> None:
    def refused(words: str) -> Refusal:
        return Refusal(StatusCode.UNAVAILABLE, words)

    assert refused("failed to connect to all addresses; last error: refused").nothing_happened
    assert refused("etcdserver: no leader").nothing_happened
    for words in ("Socket closed", "etcdserver: request timed out", "etcdserver: leader changed", ""):
        assert not refused(words).nothing_happened


@given(st.binary(max_size=4), st.binary(max_size=4))
@settings(max_examples=200)
def test_a_range_is_what_begins_with_the_prefix(prefix: bytes, key: bytes) -> None:
    end = successor(prefix)
    for candidate in (key, prefix, prefix + key):
        assert (candidate >= prefix and (end == b"\0" or candidate < end)) == candidate.startswith(prefix)


@pytest.mark.parametrize(
    ("prefix", "end"),
    [(b"a", b"b"), (b"a\xff", b"b"), (b"\xff\xff", b"\0"), (b"", b"\0"), (b"/a/\xfe\xff\xff", b"/a/\xff")],
)
def test_the_end_of_a_range(prefix: bytes, end: bytes) -> None:
    assert successor(prefix) == end


@given(st.binary())
@settings(max_examples=200)
def test_foreign_keys_survive(key: bytes) -> None:
    assert encoded(decoded(key)) == key


@pytest.mark.parametrize(
    ("version", "good"),
    [("3.5.1", False), ("3.5.22", False), ("3.5.23", True), ("3.6.0", True), ("3.6.0-rc.1", True), ("3.4.99", False)],
)
def test_versions(version: str, good: bool) -> None:
    assert _is_good(version) is good


# Tokens


def jwt(claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


@pytest.mark.parametrize(
    ("token", "life"),
    [
        (jwt({"username": "u", "exp": 1300}), 300),
        (jwt({"username": "\u00fc?>~", "exp": 1300.5}), 300.5),
        (jwt({"exp": 900}), float("inf")),
        (jwt({"username": "u"}), float("inf")),
        (jwt([1]), float("inf")),
        ("a.!!!.b", float("inf")),
        ("UDkgFYRGiZJlIVjv.12", float("inf")),
        ("", float("inf")),
    ],
)
def test_the_life_of_a_token(token: str, life: float) -> None:
    assert life_s(token, now_s=1000) == life


class Authenticator:
    """Gives a new token each time."""

    def __init__(self) -> None:
        self.given = 0

    async def __call__(self) -> str:
        self.given += 1
        await asyncio.sleep(0)
        return f"token.{self.given}"


async def test_many_calls_ask_for_one_token() -> None:
    token, fetch = Token(SystemClock()), Authenticator()
    assert await asyncio.gather(*(token.current(fetch) for _ in range(10))) == ["token.1"] * 10
    assert await asyncio.gather(*(token.instead_of("token.1", fetch) for _ in range(10))) == ["token.2"] * 10
    assert await token.instead_of("token.1", fetch) == "token.2"
    assert fetch.given == 2


async def test_a_token_is_renewed_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Watch(SystemClock):
        now_s = 50.0

        def monotonic_s(self) -> float:
            return self.now_s

    clock, given = Watch(), iter([jwt({"exp": 2e10}), jwt({"exp": 3e10})])
    monkeypatch.setattr("sidecar.coord.etcd_token.time.time", lambda: 2e10 - 100)

    async def fetch() -> str:
        return next(given)

    token = Token(clock)
    first = await token.current(fetch)
    clock.now_s += 79
    assert await token.current(fetch) == first
    clock.now_s += 2
    assert await token.current(fetch) != first


async def test_no_token_where_none_is_asked_for() -> None:
    async def fetch() -> str:
        raise Refusal(StatusCode.FAILED_PRECONDITION, "etcdserver: authentication is not enabled")

    token = Token(SystemClock())
    assert await token.current(fetch) == ""
    assert await token.current(Authenticator()) == ""
    assert await token.instead_of("", Authenticator()) == "token.1"


async def test_a_token_that_is_not_given() -> None:
    async def fetch() -> str:
        raise NO_SUCH_TOKEN

    with pytest.raises(Refusal):
        await Token(SystemClock()).current(fetch)


# Watches


def response(*events: tuple[int, str], revision: int = 0, **fields: Any) -> Any:
    changes = [
        rpc.Event(type=rpc.Event.PUT, kv=rpc.KeyValue(key=key.encode(), mod_revision=at, create_revision=at))
        for at, key in events
    ]
    return rpc.WatchResponse(header=rpc.ResponseHeader(revision=revision), events=changes, **fields)


def watch(after: int) -> Watch:
    dice = random.Random(1)
    return Watch(Streams(Cluster(CoordinationConfig(), SystemClock(), dice), dice), Range.of("/"), after)


def told(batches: Any) -> list[tuple[int, list[str]]]:
    return [(batch.revision, [event.entry.key for event in batch.events]) for batch in batches]


def test_a_response_is_a_batch_for_each_revision() -> None:
    one = watch(4)
    one._take(response((4, "old"), (5, "a"), (5, "b"), (7, "a"), revision=9))
    assert told(one._batches) == [(5, ["a", "b"]), (7, ["a"])]
    one._take(response((7, "a"), (8, "c")))
    assert told(one._batches)[2:] == [(8, ["c"])]


def test_fragments_are_one_response() -> None:
    one = watch(4)
    one._take(response((5, "a"), (6, "a"), fragment=True))
    one._take(response((6, "b"), fragment=True))
    assert not one._batches
    one._take(response((6, "c"), (7, "a")))
    assert told(one._batches) == [(5, ["a"]), (6, ["a", "b", "c"]), (7, ["a"])]


def test_progress_only_goes_forward() -> None:
    one = watch(4)
    for revision in (3, 4, 6, 6, 5):
        one._take(response(revision=revision))
    assert list(one._batches) == [Batch(6)]
    one._take(response((6, "a"), revision=7))
    assert list(one._batches) == [Batch(6)]


def test_a_watch_that_is_cancelled() -> None:
    with pytest.raises(Compacted):
        watch(4)._take(response(canceled=True, compact_revision=9))
    with pytest.raises(Refusal, match="it has cancelled the watch"):
        watch(4)._take(response(canceled=True))
    with pytest.raises(Refusal) as caught:
        watch(4)._take(response(canceled=True, cancel_reason="etcdserver: permission denied"))
    assert caught.value.meaning() is StoreDenied


def test_a_deletion() -> None:
    one = watch(4)
    gone = rpc.Event(type=rpc.Event.DELETE, kv=rpc.KeyValue(key=b"/k", mod_revision=5))
    one._take(rpc.WatchResponse(header=rpc.ResponseHeader(revision=5), events=[gone]))
    (event,) = one._batches[0].events
    assert (event.kind, event.entry.key, event.entry.value, event.entry.modified) == (Kind.DELETE, "/k", b"", 5)


async def test_a_watch_that_nobody_reads_fails_and_gives_out_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_watch, "UNREAD_MOST", 2)
    one, member = watch(4), cast("Member", "member")
    assert one.take(response((5, "a"), (6, "a")), member)
    assert not one.take(response((7, "a")), member)
    assert [(await anext(one)).revision for _ in range(3)] == [5, 6, 7]
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="is not read: 3 batches wait"):
            await anext(one)
