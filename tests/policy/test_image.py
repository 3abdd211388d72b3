"""Scenario: a policy as bytes, as in a file. Guarantees: it reads back whole and unchanged, or it is refused."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config.schema import BackendConfig
from sidecar.model import Endpoint, Priority, RoutingStrategy, Secret, Signal
from sidecar.policy.image import PolicyUnusable, decode, encode, head_of, ref_to, sheet_of, table_of
from sidecar.policy.policy import Policy
from sidecar.policy.rules import AreaRule
from sidecar.routing.members import StaticMembers
from sidecar.sampling.plan import SamplingPlan, ServiceRate, Shed
from tests.policy.policies import elsewhere, members, policy, rule, same


def twin(made: Policy) -> Policy:
    return decode(memoryview(encode(made)))


def regional(generation: int = 1) -> Policy:
    """Of two areas that share a member, with rules that lead to either."""
    rules = [rule("critical-*", "there", Priority.HIGH), rule("batch", "nowhere"), rule("*", "here")]
    return policy(members(5), generation=generation, others=[elsewhere("there", 4, first=3)], rules=rules)


@pytest.mark.parametrize("strategy", RoutingStrategy)
@pytest.mark.parametrize("n", [0, 1, 40])
def test_round_trip(strategy: RoutingStrategy, n: int) -> None:
    sampling = SamplingPlan(
        rate=0.1,
        precision=6,
        signals=(Signal.TRACES, Signal.LOGS),
        services={"shop": ServiceRate(rate=0.5, priority=Priority.HIGH)},
        patterns=(("debug-*", ServiceRate(rate=0.0)),),
        shed=Shed(low=0.25),
    )
    made = policy(members(n), strategy, sampling=sampling, generation=1 << 40, effective_in_s=1.5)
    assert same(twin(made), made)


@pytest.mark.parametrize("strategy", RoutingStrategy)
def test_round_trip_of_several_areas(strategy: RoutingStrategy) -> None:
    others = [elsewhere("there", 4, first=3), elsewhere("empty", 0), elsewhere("alike", 4, first=3)]
    made = policy(members(5), strategy, others=others, rules=[rule("a*", "there"), rule("b", "empty")])
    assert same(twin(made), made)


def test_areas_with_one_table_have_it_once() -> None:
    made = policy(members(5), others=[elsewhere("a", 4), elsewhere("b", 4)])
    assert 2 * 393_216 < len(encode(made)) < 2 * 393_216 + 4096
    assert same(twin(made), made)


def test_any_damaged_byte_is_seen() -> None:
    image, rng = encode(regional()), random.Random(1)
    for place in [*range(50), *range(60, 120), *(rng.randrange(2000, len(image)) for _ in range(80)), len(image) - 1]:
        damaged = bytearray(image)
        damaged[place] ^= 1 << rng.randrange(8)
        with pytest.raises(PolicyUnusable):
            decode(memoryview(damaged))


@settings(max_examples=200)
@given(st.data())
def test_a_part_is_refused(data: st.DataObject) -> None:
    image = encode(policy(members(3), RoutingStrategy.ROUND_ROBIN))
    cut = data.draw(st.integers(0, len(image) - 1))
    with pytest.raises(PolicyUnusable, match=r"cut off|damaged"):
        decode(memoryview(image[:cut]))


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_whatever_else_is_no_policy(noise: bytes) -> None:
    with pytest.raises(PolicyUnusable):
        decode(memoryview(noise))


def test_more_than_a_policy_is_refused() -> None:
    image = encode(policy(members(1)))
    with pytest.raises(PolicyUnusable, match="cut off"):
        decode(memoryview(image + b"x"))


@pytest.mark.parametrize(
    ("place", "value", "words"), [(0, b"ELF", "no policy"), (8, b"\1\0\0\0", "has format 1, this version reads 2")]
)
def test_another_format_is_refused_by_its_name(place: int, value: bytes, words: str) -> None:
    image = bytearray(encode(policy(members(1))))
    image[place : place + len(value)] = value
    with pytest.raises(PolicyUnusable, match=words):
        decode(memoryview(image))


def test_what_does_not_fit_together_is_refused() -> None:
    """Checksums are right, but what they cover is not."""
    made = policy(members(2))
    table = table_of(made.own.routes)
    sheet = sheet_of(made.own, ref_to(table))
    nowhere = msgspec.json.decode(sheet.meta) | {"table": "0" * 32}
    stranger = msgspec.json.decode(sheet.meta)
    stranger["area"]["view"]["members"] = stranger["area"]["view"]["members"][:1]
    for meta, words in ((nowhere, "does not come along"), (stranger, "is owner 1, of 1")):
        changed = type(sheet)(sheet.area, msgspec.json.encode(meta), sheet.table)
        with pytest.raises(PolicyUnusable, match=words):
            decode(memoryview(head_of(made, [changed]) + table))


def test_a_rule_into_nothing_is_refused() -> None:
    made = policy(members(2))
    astray = Policy(
        **{name: getattr(made, name) for name in Policy.__slots__ if name != "rules"}, rules=(AreaRule("a", "b", 1),)
    )
    with pytest.raises(PolicyUnusable, match="an area that it does not have"):
        decode(memoryview(encode(astray)))


def test_the_bytes_in_a_file_are_a_policy(tmp_path: Path) -> None:
    path, made = tmp_path / "policy", regional()
    path.write_bytes(encode(made))
    assert same(decode(memoryview(path.read_bytes())), made)


def test_no_secret_is_in_it() -> None:
    backends = [BackendConfig(address=Endpoint("a", 1), headers={"x-api-key": Secret("open sesame")})]
    image = encode(policy(tuple(StaticMembers(backends).members())))
    assert b"sesame" not in image
    assert b"api-key" not in image
