"""Two gateways with one id, and one that only comes back."""

import asyncio
from pathlib import Path

import pytest

from sidecar.coord.memory import MemoryStore
from sidecar.snapshot import Load
from tests.control.members import TTL_S, Member, hall, seen
from tests.coord.virtual_time import clock, virtual

pytestmark = pytest.mark.usefixtures("no_threads")
LIMIT_S = 200.0


def found(member: Member) -> str:
    return member.coordinator.namesake.found


@virtual
async def test_both_are_told(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        one, other = await here.join("g1", "g1")
        await seen(lambda: found(one) or found(other), "the one whose record was overwritten is told", LIMIT_S)
        first, second = (one, other) if found(one) else (other, one)
        assert found(first) == "g1.gw.example:4317"
        first.senses.own_load = Load(cpu=0.5)
        await seen(lambda: found(second), "the other one is told as soon as it is overwritten", LIMIT_S)
        await second.leave()
        await seen(lambda: not found(first), "it is over", LIMIT_S)


@virtual
async def test_the_second_one_is_told_though_nobody_writes_over_its_record(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        await seen(lambda: one.guidance.led, "it is in the fleet")
        (other,) = await here.join("g1")
        await seen(lambda: found(other), "the second one is told", 2 * TTL_S)
        assert found(other) == "g1.gw.example:4317"
        await asyncio.sleep(LIMIT_S)
        assert found(other), "for as long as that one lives"
        await one.crash()
        await seen(lambda: not found(other), "it is over", LIMIT_S)


@virtual
async def test_a_predecessor_that_died_is_no_namesake(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        await seen(lambda: one.guidance.led, "it is in the fleet")
        await one.crash()
        (again,) = await here.join("g1")
        for _ in range(100):
            await asyncio.sleep(TTL_S / 5)
            assert found(again) == ""
