import msgspec
import pytest

from sidecar._native.rendezvous import MEMBERS_MAX, NONE
from sidecar.model import Endpoint
from sidecar.ports import Member
from sidecar.routing.slots import fill
from sidecar.routing.view import View, key_of, owner_map, quantised


def member(i: int, weight: float = 1.0) -> Member:
    return Member(f"collector-{i}", Endpoint(f"10.0.0.{i}", 4317), weight)


@pytest.mark.parametrize(
    ("weight", "step"),
    [(0, 0), (1e-9, 1 / 256), (1, 1), (0.1, 26 / 256), (1.4999, 1.5), (1000, 1000), (2**20, 2**20)],
)
def test_weights_are_quantised(weight: float, step: float) -> None:
    assert quantised(weight) == step


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf"), 2**20 + 1])
def test_impossible_weights_are_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="a weight is from 0 to 1048576"):
        View(1, (member(1, weight),))


def test_it_survives_json() -> None:
    view = View(7, (member(1, 2.5), member(2)), frozenset({"collector-2"}))
    assert msgspec.json.decode(msgspec.json.encode(view), type=View) == view


def test_bad_json_is_refused_in_words() -> None:
    bad = msgspec.json.encode({"epoch": 1, "members": [member(1), member(1)]})
    with pytest.raises(msgspec.ValidationError, match="two members have the name collector-1"):
        msgspec.json.decode(bad, type=View)


def test_who_is_down_owns_nothing() -> None:
    view = View(1, (member(1, 2), member(2), member(3)), frozenset({"collector-3"}))
    assert view.weights == (2.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="down, but no member: collector-9"):
        View(1, (member(1),), frozenset({"collector-9"}))


def test_two_members_are_two() -> None:
    twin = Member("other", Endpoint("10.0.0.1", 4317))
    with pytest.raises(ValueError, match=r"two members have the address 10\.0\.0\.1:4317"):
        View(1, (member(1), twin))
    with pytest.raises(ValueError, match="1025 members"):
        View(1, tuple(Member(str(i), Endpoint("host", i)) for i in range(MEMBERS_MAX + 1)))


def test_the_address_is_the_identity() -> None:
    assert key_of(Member("a", Endpoint("Host.Example", 1))) == key_of(Member("b", Endpoint("host.example", 1), 3.0))
    assert key_of(Member("a", Endpoint("::1", 1))) != key_of(Member("a", Endpoint("::1", 2)))


def test_owner_numbers_are_translated() -> None:
    old, new = View(1, (member(1), member(2), member(3))), View(2, (member(3), member(9), member(1, 5)))
    assert list(owner_map(old, new)) == [2, NONE, 0]


def test_nobody_waits_for_who_is_down() -> None:
    old = View(1, (member(1), member(2)))
    assert list(owner_map(old, View(2, old.members, frozenset({"collector-1"})))) == [NONE, 1]


def test_a_slot_table_is_filled_and_refilled() -> None:
    members = [member(i) for i in range(1, 30)]
    table = fill(members, [1.0] * 29)
    changed = fill(members[3:], [1.0] * 25 + [2.0], previous=table)
    anew = fill(members[3:], [1.0] * 25 + [2.0])
    assert changed.primary == anew.primary
    assert changed.after.tobytes() == anew.after.tobytes()
    assert changed.owners_of(9) == (anew.primary[9], anew.after[9, 0], anew.after[9, 1])
    assert fill([member(1), member(2)], [1, 0]).owners_of(77) == (0,)
    with pytest.raises(TypeError):
        table.primary[0] = 1
