"""Scenario: slot tables of many memberships. Guarantees: what rendezvous hashing promises, and that all agree on it."""

from __future__ import annotations

import hashlib
import random
import statistics
from array import array

import pytest

from sidecar._native.rendezvous import MEMBERS_MAX, NONE, SLOTS, WEIGHT_MAX, WEIGHT_MIN, fill, identity_key
from tests.routing.tables import Table, hash_bytes, members


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 25])
def test_it_is_the_formula(n: int) -> None:
    rng = random.Random(n)
    weights = [rng.choice([0.25, 1.0, 1.0, 3.7, 100.0, 0.0 if n > 3 else 1.0]) for _ in range(n)]
    table = Table(members(n), weights)
    some = range(rng.randrange(16), SLOTS, 16 if n < 5 else 64)
    assert table.rows(some) == table.oracle(some)


def test_it_is_the_formula_for_extreme_weights() -> None:
    table = Table(members(8), [WEIGHT_MIN, WEIGHT_MAX, 1, WEIGHT_MAX / 2, WEIGHT_MIN, 7, WEIGHT_MAX, 0])
    some = range(0, SLOTS, 32)
    assert table.rows(some) == table.oracle(some)


def test_every_machine_gets_the_same_table() -> None:
    """If this fails, gateways of two builds disagree on owners. A change of the algorithm needs a new view format."""
    table = Table(members(100), [1 + (i % 7) / 4 for i in range(100)])
    assert hashlib.blake2b(table.image(), digest_size=16).hexdigest() == "ba29c80ed88e65f2a8ded2749f5951f0"


@pytest.mark.parametrize("identity", ["", "a", "10.0.0.1:4317", "collector-1.example:4317", "x" * 24])
def test_the_key_is_the_hash_of_the_identity(identity: str) -> None:
    assert identity_key(identity.encode()) == hash_bytes(identity.encode())


@pytest.mark.parametrize(("n", "most"), [(10, 0.02), (100, 0.05)])
@pytest.mark.parametrize("pattern", ["collector-{}.example:4317", "10.4.0.{}:4317", "[fd00::{}]:4317", "{}"])
def test_the_spread_is_even(n: int, most: float, pattern: str) -> None:
    shares = Table([pattern.format(i) for i in range(n)]).shares()
    assert statistics.pstdev(shares) / statistics.mean(shares) < most


def test_shares_follow_weights() -> None:
    weights = [1.0, 2.0, 3.0, 10.0, 0.0, 0.5]
    for share, weight in zip(Table(members(6), weights).shares(), weights, strict=True):
        expected = SLOTS * weight / sum(weights)
        assert share == pytest.approx(expected, abs=4 * max(expected, 1) ** 0.5)
        assert weight or not share


@pytest.mark.parametrize("n", [4, 10, 100])
def test_who_leaves_moves_its_own_share_only(n: int) -> None:
    before = Table(members(n))
    leaver = members(n)[n // 2]
    after = Table([name for name in members(n) if name != leaver])
    for old, new in zip(before.named_rows(), after.named_rows(), strict=True):
        stay = [name for name in old if name != leaver]
        assert new[: len(stay)] == tuple(stay)


@pytest.mark.parametrize("n", [1, 3, 10, 100])
def test_who_comes_takes_and_nothing_else_moves(n: int) -> None:
    before, after = Table(members(n)), Table(members(n + 1))
    newcomer = members(n + 1)[n]
    taken = 0
    for old, new in zip(before.named_rows(), after.named_rows(), strict=True):
        assert new == old or [name for name in new if name != newcomer] == list(old[:2])
        taken += new[0] == newcomer
    assert taken == pytest.approx(SLOTS / (n + 1), rel=0.15)


def test_more_weight_only_takes() -> None:
    weights = [1.0] * 20
    before = Table(members(20), weights)
    weights[7] = 1.25
    after = Table(members(20), weights)
    moved = [(old, new) for old, new in zip(before.primary, after.primary, strict=True) if old != new]
    assert {new for _, new in moved} == {7}
    assert len(moved) / SLOTS == pytest.approx(1.25 / 20.25 - 1 / 20, rel=0.2)


def test_weights_count_by_their_proportion_alone() -> None:
    one = Table(members(9), [1, 2, 3, 1, 2, 3, 1, 2, 3])
    same = Table(members(9), [64 * weight for weight in one.weights])
    assert one.image() == same.image()


def test_order_does_not_matter() -> None:
    names, weights = members(30), [1 + i % 3 for i in range(30)]
    order = random.Random(3).sample(range(30), 30)
    shuffled = Table([names[i] for i in order], [weights[i] for i in order])
    assert shuffled.named_rows() == Table(names, weights).named_rows()


@pytest.mark.parametrize("seed", range(12))
def test_refill_is_fill(seed: int) -> None:
    rng = random.Random(seed)
    n = rng.choice([1, 2, 3, 5, 12, 60])
    old_names = rng.sample(members(n + 5), n)
    old = Table(old_names, [rng.choice([0, 1, 1, 2, 4]) for _ in old_names])
    kept = [name for name in old_names if rng.random() < 0.85]
    new_names = kept + [f"newcomer-{i}:4317" for i in range(rng.randrange(3))]
    rng.shuffle(new_names)
    known = dict(zip(old.names, old.weights, strict=True))
    weights = [rng.choice([0, 1, 3]) if rng.random() < 0.2 else known.get(name, 1) for name in new_names]
    assert Table(new_names, weights, old).image() == Table(new_names, weights).image()


def test_refill_without_a_change_is_a_copy_in_the_new_order() -> None:
    names = members(40)
    old = Table(names)
    turned = Table(names[::-1], old=old)
    assert turned.named_rows() == old.named_rows()


def test_few_members_leave_places_empty() -> None:
    assert set(Table([]).rows()) == {(NONE, NONE, NONE)}
    assert set(Table(["a"]).rows()) == {(0, NONE, NONE)}
    assert set(Table(["a", "b"]).rows()) == {(0, 1, NONE), (1, 0, NONE)}
    assert set(Table(["a", "b"], [0, 0]).primary) == {NONE}


def test_the_most_members() -> None:
    table = Table(members(MEMBERS_MAX))
    assert len(set(table.primary)) == MEMBERS_MAX
    with pytest.raises(ValueError, match="1025 members"):
        Table(members(MEMBERS_MAX + 1))


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf"), 1e-9, 1e9])
def test_impossible_weights_are_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        Table(["a", "b"], [1, weight])


def test_what_does_not_fit_is_refused() -> None:
    table = Table(["a"])
    with pytest.raises(ValueError, match="same key"):
        Table(["a", "b", "a"])
    with pytest.raises(ValueError, match="1 keys, but 2 weights"):
        fill(table.primary, table.after, table.keys, array("d", [1, 1]))
    with pytest.raises(ValueError, match="the tables are"):
        fill(table.primary[1:], table.after, table.keys, table.weights)
    with pytest.raises((ValueError, BufferError)):
        fill(table.primary.toreadonly(), table.after, table.keys, table.weights)
