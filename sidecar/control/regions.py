"""Regions, and the collectors in them that no gateway speaks for."""

from __future__ import annotations

import re
from contextlib import suppress

import msgspec

from sidecar.clock import WallClock
from sidecar.control.answered import answered
from sidecar.control.archive import Archive, read_blob
from sidecar.control.census import RegionInfo, RegionMembers, regions_of
from sidecar.control.guidance import scope_of
from sidecar.control.records import CollectorRecord
from sidecar.control.refusal import AlreadyThere, NotThere, RegionInUse
from sidecar.coord.keys import Keys, checked
from sidecar.coord.lock import Lock
from sidecar.coord.session import FAREWELL
from sidecar.coord.store import ABSENT, Lease, LeaseGone, Store
from sidecar.errors import QuestionInvalid, Refused

LOCK_TIMEOUT_S = 10.0
TTL_LEAST_S, TTL_MOST_S = 1.0, 3600.0
_ID = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9._:\[\]-]{0,127}")
"""An id, or an endpoint, which is the id of a collector that was given none."""
_NAMED = 3


class Registration(msgspec.Struct, frozen=True):
    """To be renewed well before `good_for_s` is over, counted from when it was asked for."""

    lease: Lease
    good_for_s: float
    anew: bool
    """Whether it was not there, or no longer."""


class Regions:
    """What changes the list of regions, and who is in them."""

    def __init__(self, store: Store, keys: Keys, lock: Lock, archive: Archive, wall: WallClock) -> None:
        self._store, self._keys, self._lock, self._archive, self._wall = store, keys, lock, archive, wall

    async def list(self) -> list[RegionMembers]:
        """Every region that was created, has a configuration, or has somebody in it."""
        found = regions_of(self._keys, (await answered(self._store.list(self._keys.regions))).entries)
        folder = f"{self._keys.config}regions/"
        for entry in (await self._store.list(folder)).entries:
            name = entry.key.removeprefix(folder)
            members = found.setdefault(name, RegionMembers(name=name))
            members.config_version = _version(entry.value)
        return [found[name] for name in sorted(found)]

    async def create(self, region: str, *, author: str = "") -> None:
        """Makes it known before anybody is in it. AlreadyThere."""
        key = self._keys.region_info(named(region))
        info = RegionInfo(author=author, created_unix_s=self._wall.unix_s())
        await answered(self._store.get(key))  # before the lock, which is waited for much longer
        async with self._lock.held(timeout_s=LOCK_TIMEOUT_S) as fence:
            if await self._store.compare_and_set(key, msgspec.json.encode(info), ABSENT, fence=fence) is None:
                raise AlreadyThere(f"region {region} has been created already")

    async def delete(self, region: str, *, force: bool = False) -> None:
        """Forgets it, its view, sums and configuration; the history stays. NotThere, RegionInUse.

        By `force` also while somebody is in it: who goes on announcing makes it known again.
        """
        name = named(region)
        await answered(self._store.get(self._keys.region_info(name)))  # as above
        async with self._lock.held(timeout_s=LOCK_TIMEOUT_S) as fence:
            members = next((one for one in await self.list() if one.name == name), None)
            if members is None:
                raise NotThere(f"there is no region {name}", "`spangate region list` has them all")
            present = [service.id for service in (*members.gateways, *members.collectors)]
            if present and not force:
                more = f" and {len(present) - _NAMED} more" if len(present) > _NAMED else ""
                raise RegionInUse(
                    f"region {name} is in use: {', '.join(present[:_NAMED])}{more} are registered in it",
                    "stop them first, or say --force",
                )
            if (entry := await self._store.get(self._keys.region_config(name))) is not None:
                if (blob := read_blob(entry.value)) is not None:
                    await self._archive.add(scope_of(name), blob, fence)
                await self._store.delete(entry.key, entry.modified, fence=fence)
            for key in (self._keys.view(name), f"{self._keys.stats}{name}", self._keys.region_info(name)):
                await self._store.delete(key, fence=fence)

    # ---- collectors without a gateway

    async def register(self, record: CollectorRecord, ttl_s: float, lease_id: int = 0) -> Registration:
        """Registers a collector, or renews it under the lease of the last answer; `registered_at` is set here.

        Whoever registers an id last has it: renewing one that somebody else registered since is a Refused.
        """
        if not TTL_LEAST_S <= ttl_s <= TTL_MOST_S:
            raise QuestionInvalid(f"a ttl of {ttl_s:g} s is not from {TTL_LEAST_S:g} to {TTL_MOST_S:g} s")
        key = self._collector(record.service.region, record.service.id)
        if lease_id and (renewed := await self._renew(key, record, Lease(lease_id, ttl_s))):
            return renewed
        lease = await self._store.grant(ttl_s)
        await self._store.put(key, _encoded(record, self._wall.unix_s()), lease=lease)
        return Registration(lease, lease.ttl_s, anew=True)

    async def deregister(self, region: str, collector: str, lease_id: int) -> None:
        """Ends a registration at once. NotThere when there is none of that id under that lease."""
        entry = await self._store.get(self._collector(region, collector))
        if entry is None or entry.lease != lease_id:
            raise NotThere(f"{collector} is not registered in {region} under this lease")
        lease = Lease(lease_id, 0.0)
        with suppress(LeaseGone):  # it has just expired
            await self._store.compare_and_set(entry.key, FAREWELL, entry.modified, lease=lease)
        await self._store.revoke(lease)

    async def _renew(self, key: str, record: CollectorRecord, lease: Lease) -> Registration | None:
        """None when the lease has gone. A record that says nothing new is not written again."""
        entry = await self._store.get(key)
        if entry is not None and entry.lease != lease.id:
            raise Refused(f"{record.service.id} was registered by somebody else since", "give it another --id")
        try:
            good_for_s = await self._store.keep_alive(lease)
            since = _since(entry.value) if entry else 0.0
            value = _encoded(record, since or self._wall.unix_s())
            if entry is None or entry.value != value:
                await self._store.put(key, value, lease=lease)
        except LeaseGone:
            return None
        return Registration(lease, good_for_s, anew=False)

    def _collector(self, region: str, collector: str) -> str:
        if not _ID.fullmatch(collector):
            raise QuestionInvalid(f"{collector!r} is no id", "at most 128 of A-Z a-z 0-9 . _ : -")
        return f"{self._keys.collectors(named(region))}{collector}"


def named(region: str) -> str:
    """The region, if it may be one. QuestionInvalid."""
    try:
        return checked(region)
    except ValueError as error:
        raise QuestionInvalid(f"no region: {error}") from None


def _encoded(record: CollectorRecord, registered_at_unix_s: float) -> bytes:
    service = msgspec.structs.replace(record.service, registered_at_unix_s=registered_at_unix_s)
    return msgspec.json.encode(msgspec.structs.replace(record, service=service))


def _since(value: bytes) -> float:
    try:
        return msgspec.json.decode(value, type=CollectorRecord).service.registered_at_unix_s
    except msgspec.MsgspecError:
        return 0.0


def _version(value: bytes) -> int:
    blob = read_blob(value)
    return blob.version if blob else 0
