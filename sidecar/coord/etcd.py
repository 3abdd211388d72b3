"""The store on etcd, over the messages and stubs of aetcd; its client, watcher and lock are not used.

Requests are those of etcd's api/etcdserverpb/rpc.proto. A fence is a comparison of the creation revision of its key in
the transaction of the write, as in etcd's clientv3/concurrency.
"""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from aetcd import rpc

from sidecar.clock import Clock, SystemClock
from sidecar.config.schema import CoordinationConfig
from sidecar.coord.etcd_cluster import Cluster, Metadata, Repeat
from sidecar.coord.etcd_errors import answer, end, hear, say
from sidecar.coord.etcd_health import complaints
from sidecar.coord.etcd_keys import Range, encoded, entry_of
from sidecar.coord.etcd_member import Member
from sidecar.coord.etcd_stream import Streams
from sidecar.coord.etcd_watch import Watch
from sidecar.coord.store import (
    VALUE_LIMIT_BYTES,
    Batch,
    Compacted,
    Fence,
    FenceLost,
    KeyValue,
    Lease,
    LeaseGone,
    Listing,
    StoreFull,
)

PAGE_KEYS = 256
"""Keys of a listing in one response: with values of the largest size half of what a channel receives."""
RELISTINGS = 3
"""How often a listing begins anew because etcd forgot its revision between two pages."""


class EtcdStore:
    """A Store on the etcd cluster that `config` names. Nothing connects before the first call.

    A read, a renewal or a revocation that fails at one member is repeated at the next within its deadline. A write is
    not: it raises StoreUnavailable when its outcome is not known.
    """

    def __init__(
        self, config: CoordinationConfig, clock: Clock | None = None, dice: random.Random | None = None
    ) -> None:
        dice = dice or random.Random()
        self._cluster = Cluster(config, clock or SystemClock(), dice)
        self._streams = Streams(self._cluster, dice)

    async def get(self, key: str) -> KeyValue | None:
        found = await self._request("kv", "Range", rpc.RangeRequest(key=encoded(key)), Repeat.SAFELY)
        return entry_of(found.kvs[0]) if found.kvs else None

    async def list(self, prefix: str) -> Listing:
        """In pages, each with a deadline of its own, at the revision of the first one."""
        for _ in range(RELISTINGS):
            try:
                return await self._listed(Range.of(prefix))
            except Compacted:
                continue
        return await self._listed(Range.of(prefix))

    async def put(self, key: str, value: bytes, *, lease: Lease | None = None, fence: Fence | None = None) -> int:
        put = _put(key, value, lease)
        if fence is None:
            response = await self._request("kv", "Put", put, Repeat.UNSENT)
        else:
            response = await self._transaction([_held(fence)], [rpc.RequestOp(request_put=put)], fence)
        revision: int = response.header.revision
        return revision

    async def compare_and_set(
        self, key: str, value: bytes, expected: int, *, lease: Lease | None = None, fence: Fence | None = None
    ) -> KeyValue | None:
        write = rpc.RequestOp(request_put=_put(key, value, lease))
        response = await self._transaction([_modified(key, expected)], [write, _look(key)], fence)
        if not response.succeeded:
            return None
        (found,) = response.responses[1].response_range.kvs
        return KeyValue(key, value, found.create_revision, found.mod_revision, found.lease)

    async def delete(self, key: str, expected: int | None = None, *, fence: Fence | None = None) -> bool:
        compared = [] if expected is None else [_modified(key, expected)]
        remove = rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=encoded(key)))
        response = await self._transaction(compared, [remove], fence)
        return bool(response.succeeded and response.responses[0].response_delete_range.deleted)

    def watch(self, prefix: str, after: int) -> AbstractAsyncContextManager[AsyncIterator[Batch]]:
        return Watch(self._streams, Range.of(prefix), after)

    async def grant(self, ttl_s: float) -> Lease:
        """Of whole seconds, as many as etcd makes of them."""
        request = rpc.LeaseGrantRequest(TTL=max(1, math.ceil(ttl_s)))
        response = await self._request("leases", "LeaseGrant", request, Repeat.UNSENT)
        return Lease(response.ID, float(response.TTL))

    async def keep_alive(self, lease: Lease) -> float:
        async def renew(member: Member, metadata: Metadata, within_s: float) -> Any:
            """One round on a stream of its own: etcd offers no other form."""
            call = member.leases.LeaseKeepAlive(metadata=metadata, timeout=within_s)
            try:
                await say(call, rpc.LeaseKeepAliveRequest(ID=lease.id))
                return await hear(call)
            finally:
                await end(call)

        ttl_s = float((await self._cluster.call(renew, Repeat.SAFELY)).TTL)
        if ttl_s <= 0:
            raise LeaseGone(f"lease {lease.id:x} has expired")
        return ttl_s

    async def revoke(self, lease: Lease) -> None:
        try:
            await self._request("leases", "LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease.id), Repeat.SAFELY)
        except LeaseGone:
            return  # which is what was wanted

    async def health(self) -> Sequence[str]:
        return await complaints(self._cluster)

    async def close(self) -> None:
        await self._cluster.close()
        await self._streams.close()

    async def _request(self, service: str, method: str, request: Any, repeat: Repeat) -> Any:
        """A unary call of one of the member's stubs."""

        async def attempt(member: Member, metadata: Metadata, within_s: float) -> Any:
            call = getattr(getattr(member, service), method)
            return await answer(call(request, timeout=within_s, metadata=metadata))

        return await self._cluster.call(attempt, repeat)

    async def _transaction(self, compared: Sequence[Any], writes: Sequence[Any], fence: Fence | None) -> Any:
        """Writes if all that is compared holds. FenceLost where it is the fence that does not."""
        if fence is None:
            request = rpc.TxnRequest(compare=compared, success=writes)
            return await self._request("kv", "Txn", request, Repeat.UNSENT)
        request = rpc.TxnRequest(compare=[_held(fence), *compared], success=writes, failure=[_look(fence.key)])
        response = await self._request("kv", "Txn", request, Repeat.UNSENT)
        if not response.succeeded:
            holders = [found.create_revision for found in response.responses[0].response_range.kvs]
            if holders != [fence.token]:
                raise FenceLost(f"{fence.key} is no longer held by token {fence.token}")
        return response

    async def _listed(self, keys: Range) -> Listing:
        revision = 0  # the first page: the newest
        entries: list[KeyValue] = []
        more = True
        key = keys.key
        while more:
            request = rpc.RangeRequest(key=key, range_end=keys.end, limit=PAGE_KEYS, revision=revision)
            page = await self._request("kv", "Range", request, Repeat.SAFELY)
            revision = revision or page.header.revision
            entries.extend(map(entry_of, page.kvs))
            more = page.more
            if more:
                key = page.kvs[-1].key + b"\0"
        return Listing(revision, tuple(entries))


def _put(key: str, value: bytes, lease: Lease | None) -> Any:
    if len(value) > VALUE_LIMIT_BYTES:
        raise StoreFull(f"a value has {len(value)} bytes, {VALUE_LIMIT_BYTES} are allowed")
    return rpc.PutRequest(key=encoded(key), value=value, lease=lease.id if lease else 0)


def _look(key: str) -> Any:
    """Reads a key's revisions within a transaction."""
    return rpc.RequestOp(request_range=rpc.RangeRequest(key=encoded(key), keys_only=True))


def _held(fence: Fence) -> Any:
    """The fence's key is still the one that its holder created."""
    return rpc.Compare(
        key=encoded(fence.key), target=rpc.Compare.CREATE, result=rpc.Compare.EQUAL, create_revision=fence.token
    )


def _modified(key: str, revision: int) -> Any:
    """The key was written last at this revision; a key that is not there counts as 0, ABSENT."""
    return rpc.Compare(key=encoded(key), target=rpc.Compare.MOD, result=rpc.Compare.EQUAL, mod_revision=revision)
