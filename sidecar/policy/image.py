"""A policy as bytes: a head that says everything, and the tables of its areas, which the head names by their digests.

    header | meta: JSON   ||  table | table | ...
                              owning: primary uint16[65536], after uint16[65536][2]; spreading: owners uint16[n]

All numbers are little-endian, the head and every table begin at a multiple of 64 bytes. The checksum in the header is
BLAKE2b over the head but for itself, that of a table is its name. So a table that many policies share lies in memory
once and is read through once; and a head with its tables behind it is a policy that needs nothing else, as in a file.
Credentials of backends are not among it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from sidecar.errors import SpangateError
from sidecar.model import Ownership, RoutingStrategy
from sidecar.policy.compile import numbering_of
from sidecar.policy.policy import Policy, RoutedArea
from sidecar.policy.rules import AreaRule
from sidecar.routing.area import Area
from sidecar.routing.slots import AFTER_BYTES, PRIMARY_BYTES, SlotTable, of_members, shaped
from sidecar.routing.strategy import NO_SEQUENCE, Mode, Routes, owning, spreading
from sidecar.sampling.plan import SamplingPlan

MAGIC = b"SPANGATE"
VERSION = 2

_HEADER = struct.Struct("<8sIIQQ16s")
"""Magic, version, header bytes, generation, bytes of the meta, checksum."""
_DIGEST_BYTES = 16
_DIGEST_AT = _HEADER.size - _DIGEST_BYTES
_ALIGNMENT = 64
_SLOT_BYTES = PRIMARY_BYTES + AFTER_BYTES


class PolicyUnusable(SpangateError):
    """Bytes that are no policy of ours, or not whole. A worker keeps the one it has."""


class TableRef(msgspec.Struct, frozen=True):
    """A table by its content."""

    digest: str
    size_bytes: int


class _AreaMeta(msgspec.Struct, frozen=True):
    area: Area
    mode: int
    table: str
    """The digest of its table."""


class _Meta(msgspec.Struct, frozen=True):
    tables: tuple[TableRef, ...]
    """Each once, in the order in which they come along."""
    areas: tuple[msgspec.Raw, ...]
    """Each an _AreaMeta; one that is the same as before to the byte is not read again."""
    rules: tuple[AreaRule, ...]
    strategy: RoutingStrategy
    ownership: Ownership
    sampling: SamplingPlan
    effective_in_s: float
    affinity_window_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """An area and the bytes that stand for it in a head."""

    area: RoutedArea
    meta: bytes
    table: TableRef


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A head that was read: whole, but its areas have not been looked at."""

    generation: int
    size_bytes: int
    meta: _Meta

    @property
    def tables(self) -> tuple[TableRef, ...]:
        """The tables that go with it."""
        return self.meta.tables


# ---- writing


def table_of(routes: Routes) -> bytes:
    """The table that the data plane reads, as bytes."""
    slots = routes.slots
    return slots.primary.tobytes() + slots.after.tobytes() if slots else routes.sequence.tobytes()


def ref_to(table: bytes | memoryview) -> TableRef:
    """What names a table: it is read through for that."""
    return TableRef(hashlib.blake2b(table, digest_size=_DIGEST_BYTES).hexdigest(), len(table))


def sheet_of(area: RoutedArea, table: TableRef) -> Sheet:
    """The area in bytes, its table being known by its digest."""
    return Sheet(area, msgspec.json.encode(_AreaMeta(area.area, area.routes.mode, table.digest)), table)


def head_of(policy: Policy, sheets: Iterable[Sheet]) -> bytes:
    """The head of a policy whose areas these are."""
    sheets = tuple(sheets)
    meta = _Meta(
        tables=tuple({sheet.table.digest: sheet.table for sheet in sheets}.values()),
        areas=tuple(msgspec.Raw(sheet.meta) for sheet in sheets),
        rules=policy.rules,
        strategy=policy.strategy,
        ownership=policy.ownership,
        sampling=policy.sampling,
        effective_in_s=policy.effective_in_s,
        affinity_window_s=policy.affinity_window_s,
    )
    text = msgspec.json.encode(meta)
    image = bytearray(_padded(bytes(_HEADER.size)) + _padded(text))
    _HEADER.pack_into(image, 0, MAGIC, VERSION, _HEADER.size, policy.generation, len(text), bytes(_DIGEST_BYTES))
    image[_DIGEST_AT : _HEADER.size] = _checksum(memoryview(image))
    return bytes(image)


def encode(policy: Policy) -> bytes:
    """The policy as bytes that need nothing else."""
    tables = [table_of(area.routes) for area in policy.areas]
    sheets = [sheet_of(area, ref_to(table)) for area, table in zip(policy.areas, tables, strict=True)]
    each = {sheet.table.digest: table for sheet, table in zip(sheets, tables, strict=True)}
    return head_of(policy, sheets) + b"".join(map(_padded, each.values()))


# ---- reading


def read_head(image: memoryview) -> Head:
    """The head that these bytes begin with. PolicyUnusable says what is wrong with it."""
    if len(image) < _HEADER.size:
        raise PolicyUnusable(f"the policy is cut off: {len(image)} bytes are less than its header")
    magic, version, _, generation, meta_bytes, checksum = _HEADER.unpack_from(image)
    if magic != MAGIC:
        raise PolicyUnusable("these bytes are no policy")
    if version != VERSION:
        raise PolicyUnusable(f"the policy has format {version}, this version reads {VERSION}")
    start = _aligned(_HEADER.size)
    size = start + _aligned(meta_bytes)
    if len(image) < size:
        raise PolicyUnusable(f"the policy is cut off: {len(image)} of {size} bytes are there")
    if checksum != _checksum(image[:size]):
        raise PolicyUnusable("the policy is damaged: its checksum does not fit")
    try:
        meta = msgspec.json.decode(image[start : start + meta_bytes], type=_Meta)
    except msgspec.MsgspecError as error:
        raise PolicyUnusable(f"the policy does not read: {error}") from error
    return Head(generation, size, meta)


def checked(table: memoryview, ref: TableRef) -> memoryview:
    """The table, being what its name says. PolicyUnusable otherwise."""
    if len(table) != ref.size_bytes:
        raise PolicyUnusable(f"a table is cut off: {len(table)} of {ref.size_bytes} bytes are there")
    if ref_to(table) != ref:
        raise PolicyUnusable("a table is damaged: its checksum does not fit")
    return table


def opened(
    head: Head, tables: Mapping[str, memoryview], known: Sequence[Sheet] = (), previous: Policy | None = None
) -> tuple[Policy, tuple[Sheet, ...]]:
    """The policy of a head, its tables views of those given by digest, and its areas for the next time.

    known: areas that `previous` came with, taken over where they are the same. PolicyUnusable says what is wrong.
    """
    former = {sheet.meta: sheet for sheet in known}
    try:
        sheets = tuple(
            former.get(meta) or _read_sheet(meta, head.tables, tables) for meta in map(bytes, head.meta.areas)
        )
        areas = tuple(sheet.area for sheet in sheets)
        numbering = numbering_of(areas, previous)
    except ValueError as error:
        raise PolicyUnusable(f"the policy does not read: {error}") from error
    meta = head.meta
    if not areas or any(rule.area >= len(areas) for rule in meta.rules):
        raise PolicyUnusable("the policy does not read: it sends services to an area that it does not have")
    policy = Policy(
        generation=head.generation,
        areas=areas,
        numbering=numbering,
        rules=meta.rules,
        strategy=meta.strategy,
        ownership=meta.ownership,
        sampling=meta.sampling,
        effective_in_s=meta.effective_in_s,
        affinity_window_s=meta.affinity_window_s,
    )
    return policy, sheets


def decode(image: memoryview) -> Policy:
    """The policy in bytes that need nothing else: its tables are views of them. PolicyUnusable says what is wrong."""
    image = image.cast("B").toreadonly()
    head = read_head(image)
    tables, offset = {}, head.size_bytes
    for ref in head.tables:
        tables[ref.digest] = checked(image[offset : offset + ref.size_bytes], ref)
        offset += _aligned(ref.size_bytes)
    if offset != len(image):
        raise PolicyUnusable(f"the policy is cut off: {len(image)} of {offset} bytes are there")
    policy, _ = opened(head, tables)
    return policy


def _read_sheet(meta: bytes, refs: Iterable[TableRef], tables: Mapping[str, memoryview]) -> Sheet:
    read = msgspec.json.decode(meta, type=_AreaMeta)
    ref = next((ref for ref in refs if ref.digest == read.table), None)
    if ref is None:
        raise ValueError(f"the table of {read.area.region} does not come along")
    routes = _read_routes(Mode(read.mode), read.area, tables[ref.digest])
    return Sheet(RoutedArea(read.area, routes), meta, ref)


def _read_routes(mode: Mode, area: Area, table: memoryview) -> Routes:
    members = area.view.members
    if mode is not Mode.OWNING:
        return spreading(mode, len(members), table.cast("H") if table else NO_SEQUENCE)
    if len(table) != _SLOT_BYTES:
        raise ValueError(f"its slot table has {len(table)} bytes, not {_SLOT_BYTES}")
    return owning(SlotTable(*shaped(table), *of_members(members, area.view.weights)))


# ---- parts


def _checksum(head: memoryview) -> bytes:
    digest = hashlib.blake2b(head[:_DIGEST_AT], digest_size=_DIGEST_BYTES)
    digest.update(head[_HEADER.size :])
    return digest.digest()


def _padded(section: bytes) -> bytes:
    return section.ljust(_aligned(len(section)), b"\0")


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
