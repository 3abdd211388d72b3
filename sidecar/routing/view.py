"""A view: who the members are, and with what weight. Ownership is a function of the view and the trace id alone."""

from __future__ import annotations

import math
from array import array
from functools import lru_cache

import msgspec

from sidecar._native import rendezvous
from sidecar.model import Endpoint
from sidecar.ports import Member

WEIGHT_STEP = 1 / 256
"""Weights are multiples of this: gateways that agree on a view agree on every bit of it."""


def quantised(weight: float) -> float:
    """The weight to the nearest step; what is not 0 does not become 0. ValueError outside 0 to 2^20."""
    if not 0 <= weight <= rendezvous.WEIGHT_MAX:
        raise ValueError(f"a weight is from 0 to {rendezvous.WEIGHT_MAX:.0f}, not {weight!r}")
    return max(math.floor(weight / WEIGHT_STEP + 0.5), 1) * WEIGHT_STEP if weight else 0.0


def key_of(member: Member) -> int:
    """The member's identity in the hash: its address, whatever it is called and wherever it is listed."""
    return key_of_address(member.address)


@lru_cache(maxsize=8192)
def key_of_address(address: Endpoint) -> int:
    """The identity of whoever listens there, in the hash and in the workers' figures."""
    return rendezvous.identity_key(str(address).lower().encode())


class View(msgspec.Struct, frozen=True):
    """The members at one epoch. The owner number of a member is its place in `members`."""

    epoch: int
    members: tuple[Member, ...]
    down: frozenset[str] = frozenset()
    """Names of members that everybody is to pass over: they stay known, and own nothing."""

    def __post_init__(self) -> None:
        if len(self.members) > rendezvous.MEMBERS_MAX:
            raise ValueError(f"{len(self.members)} members are more than {rendezvous.MEMBERS_MAX}")
        names: dict[str, Member] = {}
        keys: dict[int, Member] = {}
        for member in self.members:
            quantised(member.weight)
            if names.setdefault(member.name, member) is not member:
                raise ValueError(f"two members have the name {member.name}")
            if keys.setdefault(key_of(member), member) is not member:
                raise ValueError(f"two members have the address {member.address}")
        if not self.down <= names.keys():
            raise ValueError(f"down, but no member: {', '.join(sorted(self.down - names.keys()))}")

    @property
    def weights(self) -> tuple[float, ...]:
        """By owner number: quantised, 0 for those that are down."""
        return tuple(0.0 if member.name in self.down else quantised(member.weight) for member in self.members)


def owner_map(old: View, new: View) -> array[int]:
    """Owner numbers of `old` -> those of `new` (uint16), NONE for members that left.

    Who is down counts as having left: nobody waits for it. The address tells who is who.
    """
    places = {key_of(member): number for number, member in enumerate(new.members) if member.name not in new.down}
    return array("H", (places.get(key_of(member), rendezvous.NONE) for member in old.members))
