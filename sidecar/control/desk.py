"""The desk: where people change what the whole fleet works by.

A change goes through four steps, all under the lock `config`, so that of two people one is told about the other:

    read what is in force -> check the text against it -> keep the former version -> compare-and-set the new one

A crash between the last two leaves a version twice, in force and in the history, which reads as once.
"""

from __future__ import annotations

import asyncio
import difflib
import random
from collections.abc import AsyncGenerator
from typing import NamedTuple

import msgspec

from sidecar.clock import Clock, SystemClock, WallClock
from sidecar.config.fleet_file import FleetDocument, check_succession, read_fleet
from sidecar.config.subject import is_of_gateway
from sidecar.control.answered import answered
from sidecar.control.archive import Archive, read_blob
from sidecar.control.census import Followers, following
from sidecar.control.guidance import GLOBAL
from sidecar.control.records import Blob
from sidecar.control.refusal import ConfigDamaged, Conflict, NotThere
from sidecar.control.regions import Regions
from sidecar.control.stored import digest_of, stored
from sidecar.control.wake import Wake
from sidecar.coord.keys import Keys
from sidecar.coord.lock import Lock
from sidecar.coord.mirror import Mirror
from sidecar.coord.session import Session
from sidecar.coord.store import ABSENT, VALUE_LIMIT_BYTES, Fence, KeyValue, Store
from sidecar.errors import ConfigInvalid, Problem, QuestionInvalid

LOCK_TIMEOUT_S = 10.0
"""The longest that a change waits for another one."""
TEXT_LIMIT_BYTES = VALUE_LIMIT_BYTES - (16 << 10)
"""As JSON; the rest of the value is for author and comment."""
AUTHOR_LONGEST, COMMENT_LONGEST = 256, 1024
_QUIET_S = 3600.0


class InForce(msgspec.Struct, frozen=True):
    """A configuration, and the revision of the store that wrote it."""

    blob: Blob
    revision: int


class Checked(msgspec.Struct, frozen=True):
    """What there is to say of a text."""

    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


class Applied(msgspec.Struct, frozen=True):
    """What became of a change."""

    version: int
    revision: int
    changed: bool = True
    """False when the same text was in force already."""
    warnings: tuple[Problem, ...] = ()


class Desk:
    """The operations of the admin service on the store. A scope is `global` or `regions/R`.

    `identity` is the id of the gateway, for those who wait for the lock.
    """

    def __init__(
        self,
        store: Store,
        keys: Keys,
        session: Session,
        *,
        identity: str,
        clock: Clock | None = None,
        wall: WallClock | None = None,
        dice: random.Random | None = None,
    ) -> None:
        self._store, self._keys = store, keys
        self._clock, self._wall, self._dice = clock or SystemClock(), wall or SystemClock(), dice or random.Random()
        self._lock = Lock(store, session, keys.lock("config"), holder=identity, dice=self._dice)
        self._archive = Archive(store, keys)
        self.regions = Regions(store, keys, self._lock, self._archive, self._wall)

    # ---- reading

    async def get(self, scope: str) -> InForce | None:
        """What is in force; None when nobody has ever applied one. ConfigDamaged."""
        entry = await answered(self._store.get(self._key(scope)))
        return _read(entry, scope) if entry else None

    async def version(self, scope: str, version: int) -> InForce:
        """One version, in force or former; of a former one the revision is 0. NotThere."""
        now = await self.get(scope)
        if now and now.blob.version == version:
            return now
        blob = await self._archive.version(scope, version)
        if blob is None:
            raise NotThere(f"{scope} has no version {version}", "`spangate config history` lists those that are kept")
        return InForce(blob, 0)

    async def history(self, scope: str) -> list[Blob]:
        """The versions that are kept, the latest first."""
        now = await self.get(scope)
        versions = {blob.version: blob for blob in await self._archive.versions(scope)}
        if now:
            versions[now.blob.version] = now.blob
        return [versions[number] for number in sorted(versions, reverse=True)]

    async def diff(self, scope: str, text: str, source: str = "new") -> str:
        """A unified diff by lines from what is in force to `text`; empty when they are the same."""
        now = await self.get(scope)
        former, name = (now.blob.body, f"{scope} version {now.blob.version}") if now else ("", f"{scope}, none yet")
        lines = difflib.unified_diff(former.splitlines(), text.splitlines(), name, source, lineterm="")
        return "".join(f"{line}\n" for line in lines)

    async def watch(self, scope: str) -> AsyncGenerator[InForce, None]:
        """What is in force, and then each that follows it; of several in quick succession only the last."""
        key, wake = self._key(scope), Wake(gather_s=0.0)
        mirror = Mirror(self._store, key, clock=self._clock, dice=self._dice)
        mirror.subscribe(wake.up)
        mirror.start()
        told = ABSENT
        try:
            await mirror.ready()
            while True:
                entry = mirror.entries.get(key)
                if entry and entry.modified != told:
                    told = entry.modified
                    yield _read(entry, scope)
                await wake.wait(_QUIET_S)
        finally:
            await mirror.stop()

    async def followers(self, scope: str, version: int, timeout_s: float) -> AsyncGenerator[Followers, None]:
        """How many gateways have taken a version, each time that it changes, until all have or the time is up."""
        key, wake = self._key(scope), Wake(gather_s=0.02)
        prefix = self._keys.regions if scope == GLOBAL else self._keys.gateways(scope.removeprefix("regions/"))
        mirror, config = (Mirror(self._store, of, clock=self._clock, dice=self._dice) for of in (prefix, key))
        former = await self._archive.version(scope, version)
        digests = {version: former.sha256} if former else {}
        for each in (mirror, config):
            each.subscribe(wake.up)
            each.start()
        told: Followers | None = None
        end_s = self._clock.monotonic_s() + timeout_s
        try:
            await mirror.ready()
            await config.ready()
            while True:
                if held := _blob(config.entries.get(key)):
                    digests[held.version] = held.sha256
                now = following(self._keys, mirror.entries.values(), scope, version, digests)
                if now != told:
                    told = now
                    yield now
                left_s = end_s - self._clock.monotonic_s()
                if now.complete or left_s <= 0:
                    return
                await wake.wait(left_s)
        finally:
            await mirror.stop()
            await config.stop()

    # ---- changing

    async def validate(self, scope: str, text: str, source: str = "") -> Checked:
        """Everything that is wrong with a text, and what is unwise."""
        try:
            document = await asyncio.to_thread(_document, scope, text, source)
        except ConfigInvalid as error:
            return Checked(error.problems)
        return Checked((), document.warnings)

    async def apply(
        self,
        scope: str,
        text: str,
        *,
        author: str,
        comment: str = "",
        expected_version: int | None = None,
        source: str = "",
    ) -> Applied:
        """Puts `text` in force.

        ConfigInvalid has every problem. Conflict when `expected_version` (0: none) is not in force, or when somebody
        wrote past the lock.
        """
        document = await asyncio.to_thread(_document, scope, text, source)
        by = _By.given(author, comment)
        return await self._change(scope, text, document, by, expected_version, going_back=False)

    async def rollback(
        self, scope: str, version: int, *, author: str, comment: str = "", expected_version: int | None = None
    ) -> Applied:
        """Applies the text of a former version again. Its own `version:` may go back: that is what is asked for."""
        text = (await self.version(scope, version)).blob.body
        document = await asyncio.to_thread(_document, scope, text, f"{scope} version {version}")
        by = _By.given(author, comment or f"back to version {version}")
        return await self._change(scope, text, document, by, expected_version, going_back=True)

    async def _change(
        self,
        scope: str,
        text: str,
        document: FleetDocument,
        by: _By,
        expected_version: int | None,
        *,
        going_back: bool,
    ) -> Applied:
        await answered(self._store.get(self._key(scope)))  # before the lock, which is waited for much longer
        async with self._lock.held(timeout_s=LOCK_TIMEOUT_S) as fence:
            entry = await self._store.get(self._key(scope))
            held = _blob(entry)
            if expected_version is not None and expected_version != (held.version if held else 0):
                raise Conflict.over(scope, expected_version, held)
            if entry and held and held.sha256 == digest_of(text):
                return Applied(held.version, entry.modified, changed=False, warnings=document.warnings)
            if held and not going_back:
                await asyncio.to_thread(_succeeds, scope, held, document)
            blob = stored(
                text,
                document.sections,
                version=1 + (held.version if held else await self._archive.latest(scope)),
                author=by.author,
                comment=by.comment,
                at_unix_s=self._wall.unix_s(),
            )
            written = await self._write(scope, blob, entry, held, fence)
            return Applied(blob.version, written.modified, changed=True, warnings=document.warnings)

    async def _write(self, scope: str, blob: Blob, entry: KeyValue | None, held: Blob | None, fence: Fence) -> KeyValue:
        if held:
            await self._archive.add(scope, held, fence)
        key, value = self._key(scope), msgspec.json.encode(blob)
        written = await self._store.compare_and_set(key, value, entry.modified if entry else ABSENT, fence=fence)
        if written is None:
            raise Conflict.over(scope, held.version if held else 0, _blob(await self._store.get(key)))
        return written

    def _key(self, scope: str) -> str:
        return f"{self._keys.config}{scope}"


class _By(NamedTuple):
    """Who, and why."""

    author: str
    comment: str

    @classmethod
    def given(cls, author: str, comment: str) -> _By:
        """QuestionInvalid when they are too long to be kept with every version."""
        for name, text, longest in (("author", author, AUTHOR_LONGEST), ("comment", comment, COMMENT_LONGEST)):
            if len(text) > longest:
                raise QuestionInvalid(f"the {name} has {len(text)} characters, {longest} are kept")
        return cls(author, comment)


def _document(scope: str, text: str, source: str) -> FleetDocument:
    """The text as a configuration of this scope. ConfigInvalid."""
    if (size_bytes := len(msgspec.json.encode(text))) > TEXT_LIMIT_BYTES:
        message = f"{size_bytes} bytes are too many, {TEXT_LIMIT_BYTES} may be stored"
        raise ConfigInvalid([Problem("", message, "name services by patterns", None, source)])
    if is_of_gateway(text, source):
        hint = "`spangate run --config` takes it; a fleet's has `global:` or `local:`"
        raise ConfigInvalid([Problem("", "is the configuration of a gateway", hint, None, source)])
    document = read_fleet(text, source)
    wanted, other, hint = (
        ("global", "local", "with --region R") if scope == GLOBAL else ("local", "global", "without --region")
    )
    given = {"global": document.everywhere, "local": document.local}
    problems = []
    if given[other] is not None:
        problems.append(Problem(other, f"does not belong to {scope}", f"apply it {hint}", None, source))
    elif given[wanted] is None:
        problems.append(Problem(wanted, "is missing", f"`{wanted}: {{}}` says nothing on purpose", None, source))
    if problems:
        raise ConfigInvalid(problems)
    return document


def _succeeds(scope: str, held: Blob, document: FleetDocument) -> None:
    """ConfigInvalid when `document` may not follow what is in force. What does not read may be followed by anything."""
    try:
        former = _document(scope, held.body, f"{scope} version {held.version}")
    except ConfigInvalid:
        return
    check_succession(former, document)


def _read(entry: KeyValue, scope: str) -> InForce:
    blob = _blob(entry)
    if blob is None:
        raise ConfigDamaged(f"what the store has for {scope} is no configuration", "apply one, or roll back")
    return InForce(blob, entry.modified)


def _blob(entry: KeyValue | None) -> Blob | None:
    return read_blob(entry.value) if entry else None
