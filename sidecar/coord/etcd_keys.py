"""Keys and ranges of keys as etcd has them: bytes, where a prefix is the range up to its successor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from aetcd import rpc

from sidecar.coord.etcd_cluster import Metadata
from sidecar.coord.etcd_errors import answer
from sidecar.coord.etcd_member import Member
from sidecar.coord.store import KeyValue

_EVERYTHING = b"\0"
"""As a key the least there is, as an end no end at all (etcd's RangeRequest)."""


def encoded(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def decoded(key: bytes) -> str:
    """Foreign keys need not be UTF-8: they survive the way there and back."""
    return key.decode("utf-8", "surrogateescape")


def successor(prefix: bytes) -> bytes:
    """The least key above all that begin with the prefix; no end where there is none (nothing but 0xff)."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else _EVERYTHING


def entry_of(found: Any) -> KeyValue:
    """The KeyValue of etcd as ours."""
    return KeyValue(decoded(found.key), found.value, found.create_revision, found.mod_revision, found.lease)


@dataclass(frozen=True, slots=True)
class Range:
    """The keys from `key` on, below `end`."""

    key: bytes
    end: bytes

    @classmethod
    def of(cls, prefix: str) -> Self:
        """All keys that begin with the prefix."""
        key = encoded(prefix)
        return cls(key or _EVERYTHING, successor(key))

    async def revision(self, member: Member, metadata: Metadata, within_s: float, *, here: bool = False) -> int:
        """An Attempt: the revision of the store, or `here` only as far as this member has come.

        It reads one key, which whoever may read the range may read, too.
        """
        request = rpc.RangeRequest(key=self.key, keys_only=True, serializable=here)
        response = await answer(member.kv.Range(request, timeout=within_s, metadata=metadata))
        revision: int = response.header.revision
        return revision

    async def revision_here(self, member: Member, metadata: Metadata, within_s: float) -> int:
        """An Attempt: the revision that this member has come to, whatever the others have."""
        return await self.revision(member, metadata, within_s, here=True)
