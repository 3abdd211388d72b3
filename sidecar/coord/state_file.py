"""The file of the embedded store: one checked image, replaced as a whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
from pathlib import Path
from typing import ClassVar

import msgspec

from sidecar.coord.store import KeyValue, StoreError, StoreFull
from sidecar.errors import Exit, GrpcStatus

_HEAD = re.compile(rb"spangate-store 1 ([0-9a-f]{64})\n")
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class StoreUnreadable(StoreError):
    """The file is damaged, or not ours to read. It is never taken for an empty store."""

    exit_code = Exit.STORE
    grpc_status = GrpcStatus.DATA_LOSS
    retryable: ClassVar[bool] = False


class StoreUnwritable(StoreError):
    """The file cannot be written, or belongs to another gateway. Reading goes on."""

    exit_code = Exit.PATH_UNWRITABLE
    grpc_status = GrpcStatus.FAILED_PRECONDITION
    retryable: ClassVar[bool] = False


class Image(msgspec.Struct, frozen=True):
    """What outlives a restart."""

    revision: int = 0
    """No revision above this one has ever been given out."""
    entries: tuple[KeyValue, ...] = ()


class StateFile:
    """An Image in `path`: a line with the SHA-256 of what follows, then JSON.

    A file beside it (`.lock`) is locked as long as this one is in use, so that two gateways never share an image.
    Everything here blocks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def load(self) -> Image:
        """What was saved last; an empty Image when there is no file. StoreUnreadable, StoreUnwritable."""
        try:
            self._hold()
        except OSError as error:
            # A folder that cannot be written may still be read; whoever writes will be told.
            if error.errno not in {errno.EACCES, errno.EPERM, errno.EROFS, *_NO_SPACE}:
                raise self._unwritable(error) from error
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return Image()
        except OSError as error:
            raise StoreUnreadable(f"cannot read {self.path}: {_reason(error)}") from error
        head = _HEAD.match(content)
        if head is None:
            raise self._damaged("it does not begin as a store does")
        body = content[head.end() :]
        if hashlib.sha256(body).hexdigest().encode() != head[1]:
            raise self._damaged("its checksum does not fit")
        try:
            return msgspec.json.decode(body, type=Image)
        except msgspec.MsgspecError as error:
            raise self._damaged(str(error)) from error

    def save(self, image: Image) -> None:
        """Replaces what is there; on the disk when this returns. StoreFull, StoreUnwritable: the old one stays."""
        body = msgspec.json.encode(image)
        content = b"spangate-store 1 %s\n%s" % (hashlib.sha256(body).hexdigest().encode(), body)
        fresh = self.path.with_name(f"{self.path.name}.tmp")
        try:
            self._hold()
            _write(fresh, content)
            fresh.replace(self.path)
            _sync(self.path.parent)
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise StoreFull(f"cannot write {self.path}: {_reason(error)}", "make room on that disk") from error
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Lets another one have the file."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _hold(self) -> None:
        if self._lock is not None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        name = self.path.with_name(f"{self.path.name}.lock")
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise StoreUnwritable(
                f"{self.path} is in use by another gateway", "give each its own `coordination.state_dir`, or `id`"
            ) from error
        except OSError:
            os.close(lock)
            raise
        self._lock = lock

    def _unwritable(self, error: OSError) -> StoreUnwritable:
        return StoreUnwritable(
            f"cannot write {self.path}: {_reason(error)}",
            "set coordination.state_dir to a folder that this user may write",
        )

    def _damaged(self, reason: str) -> StoreUnreadable:
        return StoreUnreadable(
            f"{self.path} is damaged: {reason}", "put a copy of it back, or move it away to begin with an empty store"
        )


def _write(path: Path, content: bytes) -> None:
    # Only its owner may read it: configurations can hold secrets.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    # A rename is on the disk once its folder is.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()
