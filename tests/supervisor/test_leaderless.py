"""A fleet whose leader dies while load rises: all together keep no more than the last target, as soon as that shows."""

import asyncio
from pathlib import Path

import pytest

from sidecar.config.schema import CoordinationConfig
from sidecar.coord.memory import MemoryStore
from sidecar.sampling.plan import Observed, ServiceLoad
from sidecar.sampling.shed import ORDER, kept_by_class
from sidecar.supervisor.publisher import LEADERLESS_S
from tests.control.members import KEYS, Hall, Member, blob, hall, inline_threads, seen
from tests.coord.virtual_time import clock, virtual
from tests.supervisor.publishing import Bench, FakeSenses

TARGET = 1000.0
ADAPTIVE = f"global:\n  sampling_strategies: [{{type: adaptive, min_rate: 0.0001, target_qps: {TARGET:.0f}}}]\n"
AS_SHIPPED = CoordinationConfig()


class Gateway:
    """A member, and the publisher that acts on what it is told."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.bench = Bench()
        self.rate = 0.0

    async def second(self) -> float:
        """Lives through one; spans that it keeps."""
        self.bench.publisher.guidance = self.member.guidance
        self.bench.shed_by(FakeSenses(observed=self._observed(1.0)), clock().monotonic_s())
        await self.bench.publisher.publish()
        self.member.senses.seen = self._observed(self._kept() / max(self.rate, 1.0))
        return self._kept()

    def _kept(self) -> float:
        plan = self.bench.policy.sampling
        by_class = zip(ORDER, kept_by_class(plan, self._observed(1.0)), strict=True)
        return sum((kept * float(getattr(plan.shed, name)) for name, kept in by_class), 0.0)

    def _observed(self, kept: float) -> Observed:
        return {"shop": ServiceLoad(received=self.rate, kept=self.rate * kept)} if self.rate else {}


async def flow(gateways: list[Gateway], seconds: float) -> float:
    """Time passes; what all keep in the last second of it."""
    kept = 0.0
    for _ in range(round(seconds)):
        kept = sum([await gateway.second() for gateway in gateways])
        await asyncio.sleep(1.0)
    return kept


async def held(here: Hall) -> list[Gateway]:
    """A fleet that keeps its target, with a load that is not even."""
    await here.join("g1", "g2", "g3", config=AS_SHIPPED)
    await here.join("h1", region="us", config=AS_SHIPPED)
    await here.shared.put(KEYS.global_config, blob(ADAPTIVE))
    await seen(lambda: all(one.guidance.led for one in here.members), "it is led")
    gateways = [Gateway(member) for member in here.members]
    for gateway, rate in zip(gateways, (2_000, 500, 1_500, 1_000), strict=True):
        gateway.rate = rate
    assert await flow(gateways, 90) == pytest.approx(TARGET, rel=0.05)
    return gateways


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "to_thread", inline_threads())


@virtual
async def test_the_leader_dies_and_then_the_store_is_away(tmp_path: Path) -> None:
    """For as long as its lease runs nobody misses it, and the sum that it told last stays while load rises."""
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        gateways = await held(here)
        here.members[0].store.cut()
        assert "global" in here.members[0].leads
        for gateway in gateways:
            gateway.rate *= 4
        assert await flow(gateways[1:], AS_SHIPPED.lease_ttl_s - 5) > TARGET, "nobody knows yet"
        for member in here.members:
            member.store.cut()
        kept = await flow(gateways, LEADERLESS_S + 5)
        assert not any(member.guidance.led for member in here.members)
        assert kept == pytest.approx(TARGET, rel=0.05)
        for member in here.members:
            member.store.mend()
        assert await flow(gateways, 60) == pytest.approx(TARGET, rel=0.05)


@virtual
async def test_a_successor_is_no_leader_before_it_has_solved(tmp_path: Path) -> None:
    """What is shed without a leader goes on being shed until there are rates for the load of now."""
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        gateways = await held(here)
        for member in here.members:
            member.store.cut()
        await flow(gateways, LEADERLESS_S + 5)
        for gateway in gateways:
            gateway.rate *= 4
        assert await flow(gateways, 3) == pytest.approx(TARGET, rel=0.05)
        for member in here.members:
            member.store.mend()
        for _ in range(60):
            assert await flow(gateways, 1) < 1.2 * TARGET
        assert all(member.guidance.led for member in here.members)


@virtual
async def test_one_that_starts_without_a_store_has_an_equal_share(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        gateways = await held(here)
        for member in here.members:
            member.store.cut()
        await flow(gateways, LEADERLESS_S + 5)
        again = [Gateway(member) for member in here.members]
        for gateway in again:
            gateway.rate = 10_000
        assert await flow(again, LEADERLESS_S + 5) == pytest.approx(TARGET, rel=0.05)
