"""One numbering for the members of several regions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar._native.rendezvous import MEMBERS_MAX
from sidecar.model import Endpoint
from sidecar.ports import Member
from sidecar.routing.area import Area, numbered
from sidecar.routing.view import View


def area(region: str, ports: list[int], down: frozenset[int] = frozenset(), weight: float = 1.0) -> Area:
    members = tuple(Member(f"{region}-{port}", Endpoint("host.example", port), weight) for port in ports)
    return Area(region, View(1, members, frozenset(f"{region}-{port}" for port in down)))


@settings(max_examples=200)
@given(st.lists(st.lists(st.integers(1, 20), unique=True, max_size=8), min_size=1, max_size=4))
def test_a_member_is_one_owner_wherever_it_is_listed(ports: list[list[int]]) -> None:
    areas = [area(f"region-{number}", some) for number, some in enumerate(ports)]
    numbering = numbered(areas)
    addresses = [member.address for member in numbering.members]
    assert len(set(addresses)) == len(addresses)
    assert {address.port for address in addresses} == {port for some in ports for port in some}
    assert numbering.members[: len(ports[0])] == areas[0].view.members
    for one, places in zip(areas, numbering.places, strict=True):
        assert [addresses[place] for place in places] == [member.address for member in one.view.members]


def test_too_many_are_refused() -> None:
    half = MEMBERS_MAX // 2 + 1
    with pytest.raises(ValueError, match=f"{2 * half} members of 2 areas"):
        numbered([area("a", list(range(half))), area("b", list(range(half, 2 * half)))])
    with pytest.raises(ValueError, match="251 areas"):
        numbered([area(f"region-{number}", []) for number in range(251)])
    with pytest.raises(ValueError, match="a region comes twice: a, b, a"):
        numbered([area("a", []), area("b", [1]), area("a", [])])


@pytest.mark.parametrize(
    ("one", "healthy"),
    [
        (area("a", []), False),
        (area("a", [1, 2], frozenset({1})), True),
        (area("a", [1, 2], frozenset({1, 2})), False),
        (area("a", [1, 2], weight=0), False),
    ],
)
def test_healthy_is_where_somebody_may_own_something(one: Area, healthy: bool) -> None:
    assert one.healthy == healthy
