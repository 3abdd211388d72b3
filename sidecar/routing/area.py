"""Areas: the regions that a gateway sends to, each with the view of its own, and one numbering of all their members."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from sidecar._native import rendezvous, route
from sidecar.ports import Member
from sidecar.routing.view import View, key_of


class Area(msgspec.Struct, frozen=True):
    """A region as this gateway routes by it: who owns traces there is a function of its view alone."""

    region: str
    view: View

    @property
    def healthy(self) -> bool:
        """Whether anybody in it may own traces."""
        return any(member.weight > 0 and member.name not in self.view.down for member in self.view.members)


@dataclass(frozen=True, slots=True, eq=False)
class Numbering:
    """The members of all areas as the owners of one policy. A member is an address: in two areas it is one owner."""

    members: tuple[Member, ...]
    """By owner number; those of the first area keep the numbers that they have there."""
    places: tuple[array[int], ...]
    """By area: its owner numbers -> those of the policy (uint16)."""


def numbered(areas: Sequence[Area]) -> Numbering:
    """One numbering for all. ValueError where a region comes twice, or there are too many areas or owners."""
    regions = [area.region for area in areas]
    if len(set(regions)) < len(regions):
        raise ValueError(f"a region comes twice: {', '.join(regions)}")
    if len(areas) > route.AREAS_MAX:
        raise ValueError(f"{len(areas)} areas are more than {route.AREAS_MAX}")
    if len(areas) == 1:
        members = areas[0].view.members
        return Numbering(members, (array("H", range(len(members))),))
    numbers: dict[int, int] = {}
    owners: list[Member] = []
    places = []
    for area in areas:
        for member in area.view.members:
            if numbers.setdefault(key_of(member), len(owners)) == len(owners):
                owners.append(member)
        places.append(array("H", (numbers[key_of(member)] for member in area.view.members)))
    if len(owners) > rendezvous.MEMBERS_MAX:
        raise ValueError(f"{len(owners)} members of {len(areas)} areas are more than {rendezvous.MEMBERS_MAX}")
    return Numbering(tuple(owners), tuple(places))
