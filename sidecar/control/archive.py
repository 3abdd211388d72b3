"""The former versions of a configuration: a key each, and never more than the last hundred."""

from __future__ import annotations

import msgspec

from sidecar.control.records import Blob
from sidecar.coord.keys import Keys
from sidecar.coord.store import Fence, Store

KEPT = 100
"""Versions, the one in force among them."""
_DIGITS = 10
"""Of a version in a key, so that the order of keys is that of versions."""


class Archive:
    """The history of every scope. Writes happen under the fence of whoever changes the configuration."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store, self._keys = store, keys

    async def versions(self, scope: str) -> list[Blob]:
        """All that are kept, the latest first. What somebody else wrote there and does not read is left out."""
        listing = await self._store.list(self._keys.history(scope))
        blobs = [blob for entry in listing.entries if (blob := read_blob(entry.value)) is not None]
        return sorted(blobs, key=lambda blob: -blob.version)

    async def version(self, scope: str, version: int) -> Blob | None:
        """One of them."""
        entry = await self._store.get(self._key(scope, version))
        return read_blob(entry.value) if entry else None

    async def latest(self, scope: str) -> int:
        """The number of the last one, 0 if there is none."""
        return max((blob.version for blob in await self.versions(scope)), default=0)

    async def add(self, scope: str, blob: Blob, fence: Fence) -> None:
        """Keeps a version that is about to be replaced, and forgets the one that is then too many."""
        await self._store.put(self._key(scope, blob.version), msgspec.json.encode(blob), fence=fence)
        if blob.version >= KEPT:
            await self._store.delete(self._key(scope, blob.version + 1 - KEPT), fence=fence)

    def _key(self, scope: str, version: int) -> str:
        return f"{self._keys.history(scope)}{version:0{_DIGITS}}"


def read_blob(value: bytes) -> Blob | None:
    """A configuration as the store has it; None when it is none."""
    try:
        return msgspec.json.decode(value, type=Blob)
    except msgspec.MsgspecError:
        return None
