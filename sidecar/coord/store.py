"""The store protocol: what etcd, Consul and the embedded store have in common, and all that the recipes stand on.

Keys are text, values are bytes of at most VALUE_LIMIT_BYTES. Every write gets a revision; revisions only grow, unless
the store has lost data (`WentBack`). A write can carry a `Fence`: it happens only while the fence's key still has the
creation revision it had when its holder became leader or got the lock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import ClassVar, Protocol

import msgspec

from sidecar.errors import Exit, GrpcStatus, SpangateError

VALUE_LIMIT_BYTES = 512 << 10
ABSENT = 0
"""The revision of a key that is not there, for compare-and-set."""


class KeyValue(msgspec.Struct, frozen=True):
    """A key as it was at some revision."""

    key: str
    value: bytes
    created: int
    """The revision that created it."""
    modified: int
    """The revision that wrote it last."""
    lease: int = 0
    """The lease it hangs on; 0 is none."""


class Kind(StrEnum):
    """What happened to a key."""

    PUT = "put"
    DELETE = "delete"


class Event(msgspec.Struct, frozen=True):
    """One change. Of a deletion `value` is empty and `modified` is the revision of the deletion."""

    kind: Kind
    entry: KeyValue


class Batch(msgspec.Struct, frozen=True):
    """Changes that took effect together, up to and including `revision`. No events: only the revision has moved on."""

    revision: int
    events: tuple[Event, ...] = ()


class Listing(msgspec.Struct, frozen=True):
    """All keys under a prefix at one revision, in the order of the keys."""

    revision: int
    entries: tuple[KeyValue, ...]


class Fence(msgspec.Struct, frozen=True):
    """Proof of holding a lock or leading: the holder's own key and the revision that created it.

    `token` grows from holder to holder, so whoever is outside the store can refuse an older one.
    """

    key: str
    token: int


class Lease(msgspec.Struct, frozen=True):
    """A promise of the store to delete the keys put under it once nobody has renewed it for `ttl_s`."""

    id: int
    ttl_s: float


class Store(Protocol):
    """A shared key-value store. Each call has a deadline of its own and raises a StoreError, never anything else."""

    async def get(self, key: str) -> KeyValue | None:
        """The key now (linearizable); None when it is not there."""

    async def list(self, prefix: str) -> Listing:
        """All keys that begin with `prefix`, at one revision (linearizable)."""

    async def put(self, key: str, value: bytes, *, lease: Lease | None = None, fence: Fence | None = None) -> int:
        """Writes; the revision. FenceLost, LeaseGone."""

    async def compare_and_set(
        self, key: str, value: bytes, expected: int, *, lease: Lease | None = None, fence: Fence | None = None
    ) -> KeyValue | None:
        """Writes if the key's `modified` is `expected` (ABSENT: it is not there); else None. FenceLost, LeaseGone."""

    async def delete(self, key: str, expected: int | None = None, *, fence: Fence | None = None) -> bool:
        """Deletes the key, if its `modified` is `expected` where that is given; whether it was there. FenceLost."""

    def watch(self, prefix: str, after: int) -> AbstractAsyncContextManager[AsyncIterator[Batch]]:
        """The changes under `prefix` of all revisions above `after`, in order, each exactly once.

        Entering returns when the store has accepted the watch. Iteration raises Compacted when `after` is too old,
        WentBack when the store knows less than `after`, StoreUnavailable when the connection is gone: it never just
        ends, and never hangs with a store that does not answer.
        """

    async def grant(self, ttl_s: float) -> Lease:
        """A new lease."""

    async def keep_alive(self, lease: Lease) -> float:
        """Renews it; the seconds it is good for, from when this was called. LeaseGone when it has expired."""

    async def revoke(self, lease: Lease) -> None:
        """Ends it and deletes its keys. One that has gone is no error."""

    async def health(self) -> Sequence[str]:
        """One line for each part of the store that is not well; nothing when all is."""

    async def close(self) -> None:
        """Closes connections. Watches end with StoreUnavailable."""


class StoreError(SpangateError):
    """Whatever goes wrong with a store."""

    exit_code = Exit.STORE
    grpc_status = GrpcStatus.UNAVAILABLE
    retryable: ClassVar[bool] = True


class StoreUnavailable(StoreError):
    """No answer in time, or no quorum. Whether a write happened is not known."""


class StoreDenied(StoreError):
    """User, password, token or rights do not do."""

    grpc_status = GrpcStatus.PERMISSION_DENIED
    retryable = False


class StoreFull(StoreError):
    """The store has no space (etcd: NOSPACE), or the value is too large. Reading goes on."""

    grpc_status = GrpcStatus.RESOURCE_EXHAUSTED
    retryable = False


class Compacted(StoreError):
    """A watch asks for changes that the store has forgotten: list again."""


class WentBack(StoreError):
    """The store knows fewer revisions than it once did: wiped, or restored. List again, trust nothing older."""


class LeaseGone(StoreError):
    """The lease has expired: grant a new one and put everything again."""


class FenceLost(StoreError):
    """Somebody else holds the lock or leads by now: this write did not happen, and no later one will."""

    grpc_status = GrpcStatus.ABORTED
    retryable = False
