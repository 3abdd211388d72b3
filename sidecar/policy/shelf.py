"""The shelf: a policy as bytes, sealed in memory that workers map and nobody can change any more.

    header | meta: JSON | slots: primary uint16[65536], after uint16[65536][2] | sequence: uint16[n]

All numbers are little-endian, every section begins at a multiple of 64 bytes. The checksum is BLAKE2b over all bytes
but its own. The same bytes, in a file, are the last good policy. Credentials of backends are not among them.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
import struct

import msgspec

from sidecar.config.schema import SamplingConfig
from sidecar.errors import SpangateError
from sidecar.model import Ownership, RoutingStrategy
from sidecar.policy.policy import Policy
from sidecar.routing.slots import AFTER_BYTES, PRIMARY_BYTES, SlotTable, of_members, shaped
from sidecar.routing.strategy import NO_SEQUENCE, Mode, Routes
from sidecar.routing.view import View

MAGIC = b"SPANGATE"
VERSION = 1

_HEADER = struct.Struct("<8sIIQQ6Q16s")
"""Magic, version, header bytes, generation, all bytes, (offset, bytes) of meta, slots and sequence, checksum."""
_DIGEST_BYTES = 16
_DIGEST_AT = _HEADER.size - _DIGEST_BYTES
_ALIGNMENT = 64
_SLOT_BYTES = PRIMARY_BYTES + AFTER_BYTES
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_MFD_NOEXEC_SEAL = 8  # Linux 6.3; some systems demand it, older kernels do not know it


class PolicyUnusable(SpangateError):
    """Bytes that are no policy of ours, or not whole. A worker keeps the one it has."""


class _Meta(msgspec.Struct, frozen=True):
    view: View
    strategy: RoutingStrategy
    ownership: Ownership
    mode: int
    sampling: SamplingConfig
    effective_in_s: float
    affinity_window_s: float


def publish(policy: Policy) -> int:
    """A descriptor of the policy in sealed memory; the caller closes it. Whoever has mapped it does not need it."""
    return seal(encode(policy))


def attach(fd: int) -> Policy:
    """The policy behind a descriptor, its tables mapped and not copied. PolicyUnusable says what is wrong with it.

    The mapping is private and read-only (Linux before 6.7 refuses shared ones of sealed memory), and lives as long as
    the tables; the descriptor may be closed at once. Memory that is not sealed is refused: it could change under us.
    """
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        size = os.fstat(fd).st_size
        mapped = mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) if size else b""
    except OSError as error:
        raise PolicyUnusable(f"the policy cannot be mapped: {error.strerror}") from error
    if seals & _SEALS != _SEALS:
        raise PolicyUnusable("the policy lies in memory that is not sealed")
    return decode(memoryview(mapped))


def encode(policy: Policy) -> bytes:
    """The policy as bytes."""
    slots, routes = policy.routes.slots, policy.routes
    meta = _Meta(
        policy.view,
        policy.strategy,
        policy.ownership,
        routes.mode,
        policy.sampling,
        policy.effective_in_s,
        policy.affinity_window_s,
    )
    sections = (
        msgspec.json.encode(meta),
        slots.primary.tobytes() + slots.after.tobytes() if slots else b"",
        routes.sequence.tobytes(),
    )
    image, places = bytearray(_aligned(_HEADER.size)), []
    for section in sections:
        places += [len(image), len(section)]
        image += section.ljust(_aligned(len(section)), b"\0")
    _HEADER.pack_into(
        image, 0, MAGIC, VERSION, _HEADER.size, policy.generation, len(image), *places, bytes(_DIGEST_BYTES)
    )
    image[_DIGEST_AT : _HEADER.size] = _checksum(memoryview(image))
    return bytes(image)


def decode(image: memoryview) -> Policy:
    """The policy in these bytes: its tables are views of them. PolicyUnusable says what is wrong with them."""
    image = image.cast("B").toreadonly()
    if len(image) < _HEADER.size:
        raise PolicyUnusable(f"the policy is cut off: {len(image)} bytes are less than its header")
    magic, version, _, generation, size, *places, checksum = _HEADER.unpack_from(image)
    if magic != MAGIC:
        raise PolicyUnusable("these bytes are no policy")
    if version != VERSION:
        raise PolicyUnusable(f"the policy has format {version}, this version reads {VERSION}")
    if len(image) != size:
        raise PolicyUnusable(f"the policy is cut off: {len(image)} of {size} bytes are there")
    if checksum != _checksum(image):
        raise PolicyUnusable("the policy is damaged: its checksum does not fit")
    meta_bytes, slot_bytes, sequence = (
        image[offset : offset + length] for offset, length in zip(places[::2], places[1::2], strict=True)
    )
    try:
        meta = msgspec.json.decode(meta_bytes, type=_Meta)
        mode = Mode(meta.mode)
        slots = _slots(slot_bytes, mode, meta.view)
        routes = Routes(mode, slots, sequence.cast("H") if sequence else NO_SEQUENCE)
    except ValueError as error:
        raise PolicyUnusable(f"the policy does not read: {error}") from error
    return Policy(
        generation=generation,
        view=meta.view,
        strategy=meta.strategy,
        ownership=meta.ownership,
        routes=routes,
        sampling=meta.sampling,
        effective_in_s=meta.effective_in_s,
        affinity_window_s=meta.affinity_window_s,
    )


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


def _slots(tables: memoryview, mode: Mode, view: View) -> SlotTable | None:
    expected = _SLOT_BYTES if mode is Mode.OWNING else 0
    if len(tables) != expected:
        raise ValueError(f"its slot table has {len(tables)} bytes, not {expected}")
    if not expected:
        return None
    return SlotTable(*shaped(tables), *of_members(view.members, view.weights))


def _checksum(image: memoryview) -> bytes:
    digest = hashlib.blake2b(image[:_DIGEST_AT], digest_size=_DIGEST_BYTES)
    digest.update(image[_HEADER.size :])
    return digest.digest()


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
