"""The sampling target: it hangs on its leader, and goes from one to the next without a jump."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from sidecar.control.global_leader import HOLD_S, Memory
from sidecar.control.records import TargetRecord
from sidecar.coord.memory import MemoryStore
from sidecar.coord.store import FenceLost
from sidecar.sampling.plan import ServiceLoad
from tests.control.members import KEYS, TTL_S, Member, blob, hall, seen
from tests.coord.virtual_time import clock, virtual

pytestmark = pytest.mark.usefixtures("no_threads")

ADAPTIVE = """
global:
  sampling_strategies:
    - {type: adaptive, min_rate: 0.001, max_rate: 1.0, target_qps: 1000}
"""


def load(member: Member, rate: float, kept: float = 0.0) -> None:
    member.senses.seen = {"shop": ServiceLoad(received=rate, kept=kept)} if rate else {}


def target_rate(member: Member) -> float:
    target = member.guidance.target
    return target.rate if target is not None and target.rate is not None else 1.0


def holder(members: list[Member], office: str = "global") -> Member | None:
    return next((one for one in members if office in one.leads), None)


@virtual
async def test_the_target_is_gone_with_its_leader_and_comes_back_higher(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        one, two = await here.join("g1", "g2")
        await here.shared.put(KEYS.global_config, blob(ADAPTIVE))
        load(one, 5_000)
        load(two, 5_000)
        await seen(lambda: target_rate(two) < 0.2, "a target for all")
        before = two.guidance.target
        entry = await here.shared.get(KEYS.sampling_target)
        assert before is not None
        assert entry is not None
        assert entry.lease, "it is leased"

        watched: list[bool] = []
        two.coordinator.subscribe(lambda told: watched.append(told.led))
        await one.crash()
        await seen(lambda: holder([two]), "the other leads", 3 * TTL_S)
        await seen(lambda: two.guidance.led, "there is a target again")
        after = two.guidance.target
        assert after is not None
        assert watched[0] is False, "in between nobody led"
        assert after.token > before.token
        assert target_rate(two) < 0.3, "the next one goes on from what the former had"


@virtual
async def test_a_new_leader_goes_on_where_the_former_stopped(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        one, two = await here.join("g1", "g2")
        await here.shared.put(KEYS.global_config, blob(ADAPTIVE))
        load(one, 5_000)
        load(two, 5_000)
        await seen(lambda: target_rate(two) == pytest.approx(0.1, rel=0.05), "a target for all")
        rates: list[float] = []
        two.coordinator.subscribe(lambda _: rates.append(target_rate(two)))
        await one.coordinator.region_office.stop()
        await seen(lambda: holder([two]) and two.guidance.led, "the other leads")
        await asyncio.sleep(10)
        assert min(rates) > 0.09
        assert max(rates) < 0.11
        memory = await here.read(KEYS.sampling_state, Memory)
        assert memory is not None
        assert "shop" in memory.state.tracks


@virtual
async def test_the_leader_of_the_fleet_leads_a_region(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        members = await here.join("g1", "g2") + await here.join("h1", "h2", region="us")
        await seen(lambda: holder(members, "regions/eu") and holder(members, "regions/us"), "each region has a leader")
        await seen(lambda: holder(members), "the fleet has one")
        candidates = (await here.shared.list(KEYS.global_election)).entries
        assert {entry.value for entry in candidates} == {b"g1", b"h1"}
        await members[0].leave()
        await seen(lambda: members[2] is holder(members[1:]), "the other region's leader takes over")


@virtual
async def test_a_region_between_two_leaders_counts_on(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        (far,) = await here.join("h1", region="us")
        await here.shared.put(KEYS.global_config, blob(ADAPTIVE))
        load(one, 5_000)
        load(far, 5_000)
        await seen(lambda: target_rate(one) == pytest.approx(0.1, rel=0.05), "both count")
        rates: list[float] = []
        one.coordinator.subscribe(lambda _: rates.append(target_rate(one)))
        await far.crash()
        await asyncio.sleep(TTL_S + HOLD_S / 2)
        assert await here.shared.get(f"{KEYS.stats}us") is None
        assert all(rate < 0.11 for rate in rates)
        await seen(lambda: target_rate(one) > 0.19, "one that stays away does not")


@virtual
async def test_a_leader_who_has_been_overtaken_writes_nothing(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        one, two = await here.join("g1", "g2")
        await here.shared.put(KEYS.global_config, blob(ADAPTIVE))
        load(two, 5_000)
        await seen(lambda: two.guidance.led and holder([one]), "the first leads")
        office = one.coordinator._fleet_office
        assert office is not None
        leadership = office._election.leadership
        target = one.guidance.target
        assert leadership is not None
        assert target is not None
        one.store.cut()
        await seen(lambda: holder([two]) and two.guidance.led, "the second does")
        late = msgspec.json.encode(msgspec.structs.replace(target, rate=0.5, sequence=99))
        entry = await here.shared.get(KEYS.sampling_target)
        assert entry is not None
        with pytest.raises(FenceLost):
            await here.shared.compare_and_set(KEYS.sampling_target, late, entry.modified, fence=leadership.fence)
        one.store.mend()
        await asyncio.sleep(3 * TTL_S)
        held = await here.read(KEYS.sampling_target, TargetRecord)
        assert held is not None
        assert held.token == two.guidance.target.token  # type: ignore[union-attr]
        assert one.guidance.target == two.guidance.target


@virtual
async def test_a_target_by_somebody_else_ends_the_term(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        await here.shared.put(KEYS.global_config, blob(ADAPTIVE))
        load(one, 100)
        await seen(lambda: one.guidance.led, "it leads")
        await here.shared.put(KEYS.sampling_target, b"what is this?")
        load(one, 5_000)
        await seen(lambda: target_rate(one) < 0.3, "the next term mends it")
        assert (await here.read(KEYS.sampling_target, TargetRecord)) == one.guidance.target


@virtual
async def test_a_target_that_does_not_change_is_not_written(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        (one,) = await here.join("g1")
        await here.shared.put(KEYS.global_config, blob(ADAPTIVE))
        load(one, 5_000)
        await seen(lambda: target_rate(one) == pytest.approx(0.2, rel=0.02), "a target")
        await asyncio.sleep(30)
        writes, announced = one.store.writes(KEYS.sampling_target), one.coordinator.announcer.announced
        load(one, 5_050)  # noise
        await asyncio.sleep(60)
        assert one.store.writes(KEYS.sampling_target) - writes <= 1
        assert one.coordinator.announcer.announced == announced
