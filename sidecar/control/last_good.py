"""The last good guidance on disk: what a gateway starts with when the store is away.

Kept are the texts and records as they were in the store, not what was made of them: whoever reads them again checks
them again.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from sidecar.clock import Clock
from sidecar.control.records import Blob, TargetRecord, ViewRecord
from sidecar.control.wake import Wake
from sidecar.errors import SpangateError
from sidecar.telemetry import log

SAVE_S = 1.0
"""The least time between two writes."""
TARGET_S = 30.0
"""The same where only the sampling target is another: it changes all the time."""
_DIGEST_HEX = 64


class LastGoodUnusable(SpangateError):
    """The file is damaged, or cannot be read or written. Nothing depends on it but a start without the store."""


class LastGood(msgspec.Struct, frozen=True, kw_only=True):
    """What was in force."""

    blobs: Mapping[str, Blob] = {}
    """By scope."""
    views: Mapping[str, ViewRecord] = {}
    """By region."""
    target: TargetRecord | None = None


class Saver:
    """Brings the file up to what `current` says, off the loop, whenever that has changed."""

    def __init__(self, file: Path, current: Callable[[], LastGood], *, clock: Clock) -> None:
        self.trouble = ""
        """Why the last write failed; empty when it went well."""
        self._file, self._current, self._clock = file, current, clock
        self._wake = Wake(SAVE_S)
        self._given_up = False
        self._kept: LastGood | None = None
        self._kept_s = 0.0
        self._turn = asyncio.Lock()
        self._log = log.logger("fleet")

    def changed(self) -> None:
        """There is something new."""
        self._wake.up()

    def give_up(self, reason: str) -> None:
        """The file cannot be written, as somebody has found out and told: it is not tried."""
        self.trouble, self._given_up = reason, True

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait(TARGET_S)
            good, kept = self._current(), self._kept
            only_target = kept is not None and (good.blobs, good.views) == (kept.blobs, kept.views)
            if not only_target or self._clock.monotonic_s() - self._kept_s >= TARGET_S:
                await asyncio.shield(self.flush())  # a thread cannot be cancelled, and two must not write at once

    async def flush(self) -> None:
        """Writes what has not been written yet. What goes wrong is logged: nothing depends on it now."""
        async with self._turn:
            good = self._current()
            if self._given_up or good == self._kept or good == LastGood():
                return
            self._kept_s = self._clock.monotonic_s()
            try:
                await asyncio.to_thread(save, self._file, good)
            except LastGoodUnusable as error:
                if self.trouble != error.message:  # it is tried again with every change
                    self._log.error("the last good configuration is not kept", reason=error.message, hint=error.hint)
                self.trouble = error.message
            else:
                self._kept, self.trouble = good, ""


def save(file: Path, good: LastGood) -> None:
    """Replaces the file, whole or not at all. LastGoodUnusable says why not."""
    body = msgspec.json.encode(good)
    partial = file.with_name(f".{file.name}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as out:
                out.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
                out.flush()
                os.fsync(out.fileno())
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        partial.replace(file)
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        hint = "free some space" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "set coordination.state_dir"
        raise LastGoodUnusable(f"cannot write {file}: {error.strerror}", hint) from error


def load(file: Path) -> LastGood | None:
    """What `save` has written; None when there is no file. LastGoodUnusable when it is damaged."""
    try:
        digest, _, body = file.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LastGoodUnusable(f"cannot read {file}: {error.strerror}") from error
    if len(digest) != _DIGEST_HEX or hashlib.sha256(body).hexdigest().encode() != digest:
        raise LastGoodUnusable(f"{file} is damaged: its checksum does not fit", "it is only used without the store")
    try:
        return msgspec.json.decode(body, type=LastGood)
    except msgspec.MsgspecError as error:
        raise LastGoodUnusable(f"{file} does not read: {error}", "it may be of another version") from error
