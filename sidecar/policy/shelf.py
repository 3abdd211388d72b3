"""The shelf: policies in memory that workers map and nobody can change any more.

    supervisor: Writer --[head, table, table ...]--> descriptors --> worker: Reader

Head and tables (see image.py) lie apart, each sealed. A table that did not change from one policy to the next is the
same memory under the same name: it is sealed once, and a worker that has it neither maps nor reads it again.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections.abc import Sequence

from sidecar.policy.image import (
    PolicyUnusable,
    Sheet,
    TableRef,
    checked,
    head_of,
    opened,
    read_head,
    ref_to,
    sheet_of,
    table_of,
)
from sidecar.policy.policy import Policy, RoutedArea

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_MFD_NOEXEC_SEAL = 8  # Linux 6.3; some systems demand it, older kernels do not know it


class Writer:
    """Puts one policy after the other into sealed memory. What the latest one needs stays open here."""

    def __init__(self) -> None:
        self._sheets: tuple[Sheet, ...] = ()
        self._tables: dict[str, int] = {}

    def write(self, policy: Policy) -> list[int]:
        """Descriptors of the head and of its tables in the head's order; the caller closes them."""
        sheets = tuple(map(self._sheet, policy.areas))
        refs = dict.fromkeys(sheet.table.digest for sheet in sheets)
        for digest in self._tables.keys() - refs.keys():
            os.close(self._tables.pop(digest))
        self._sheets = sheets
        descriptors = [seal(head_of(policy, sheets))]
        descriptors += [os.dup(self._tables[digest]) for digest in refs]
        return descriptors

    def close(self) -> None:
        """Lets go of everything. Whoever has mapped it keeps it."""
        for fd in self._tables.values():
            os.close(fd)
        self._tables.clear()
        self._sheets = ()

    def _sheet(self, area: RoutedArea) -> Sheet:
        for sheet in self._sheets:
            if sheet.area is area:
                return sheet
            if sheet.area.routes is area.routes:
                return sheet_of(area, sheet.table)
        table = table_of(area.routes)
        ref = ref_to(table)
        if ref.digest not in self._tables:
            self._tables[ref.digest] = seal(table)
        return sheet_of(area, ref)


class Reader:
    """Takes policies from sealed memory, and keeps of the latest one what the next one may have too."""

    def __init__(self) -> None:
        self._policy: Policy | None = None
        self._sheets: tuple[Sheet, ...] = ()
        self._tables: dict[str, memoryview] = {}

    def read(self, head_fd: int, table_fds: Sequence[int]) -> Policy:
        """The policy behind these descriptors, its tables mapped and not copied; the descriptors stay the caller's.

        PolicyUnusable says what is wrong with it; the next one is then read as if this one had not been.
        """
        image = mapped(head_fd)
        head = read_head(image)
        if len(image) != head.size_bytes:
            raise PolicyUnusable(f"the policy is cut off: {len(image)} of {head.size_bytes} bytes are there")
        if len(table_fds) != len(head.tables):
            raise PolicyUnusable(f"the policy has {len(head.tables)} tables, {len(table_fds)} have come along")
        tables = {ref.digest: self._table(ref, fd) for ref, fd in zip(head.tables, table_fds, strict=True)}
        self._policy, self._sheets = opened(head, tables, self._sheets, self._policy)
        self._tables = tables
        return self._policy

    def _table(self, ref: TableRef, fd: int) -> memoryview:
        known = self._tables.get(ref.digest)
        return known if known is not None else checked(mapped(fd), ref)


def mapped(fd: int) -> memoryview:
    """The sealed memory behind a descriptor, which may be closed at once. PolicyUnusable where it is none.

    The mapping is private and read-only (Linux before 6.7 refuses shared ones of sealed memory). Memory that is not
    sealed is refused: it could change under us.
    """
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        size = os.fstat(fd).st_size
        memory = mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) if size else b""
    except OSError as error:
        raise PolicyUnusable(f"the policy cannot be mapped: {error.strerror}") from error
    if seals & _SEALS != _SEALS:
        raise PolicyUnusable("the policy lies in memory that is not sealed")
    return memoryview(memory)


def seal(image: bytes) -> int:
    """A descriptor of memory that holds these bytes and cannot be written, grown, shrunk or unsealed."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        fd = os.memfd_create("spangate-policy", flags | _MFD_NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        fd = os.memfd_create("spangate-policy", flags)
    try:
        rest = memoryview(image)
        while rest:
            rest = rest[os.write(fd, rest) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd
