"""The loop over several gateways: load -> announcements -> sums -> target -> rates -> what is kept."""

import asyncio
from pathlib import Path

import pytest

from sidecar.config.schema import CoordinationConfig
from sidecar.control.settle import settle
from sidecar.coord.memory import MemoryStore
from sidecar.routing.view import View
from sidecar.sampling.plan import ServiceLoad
from tests.control.members import KEYS, Hall, Member, blob, hall, seen
from tests.coord.virtual_time import clock, virtual

pytestmark = pytest.mark.usefixtures("no_threads")

TARGET = 1000.0
SOON_S = 30.0
ADAPTIVE = f"""
global:
  sampling_strategies:
    - {{type: adaptive, min_rate: 0.0001, max_rate: 1.0, target_qps: {TARGET:.0f}}}
"""
AS_SHIPPED = CoordinationConfig()


class Traffic:
    """Spans per second of each gateway, and what is kept of them by the policy of the moment."""

    def __init__(self, here: Hall) -> None:
        self.rates: dict[str, float] = {}
        self._here = here

    def kept(self) -> float:
        """Of all, per second."""
        return sum(self._kept(member) for member in self._here.members)

    async def flow(self, seconds: float) -> None:
        """Time passes; once a second each gateway looks at its counters."""
        for _ in range(round(seconds)):
            for member in self._here.members:
                rate = self.rates.get(member.name, 0.0)
                services = {"shop": 0.7 * rate, "pay": 0.3 * rate}
                member.senses.seen = {
                    name: ServiceLoad(received=one, kept=one * self._rate(member, name))
                    for name, one in services.items()
                    if one
                }
            await asyncio.sleep(1.0)

    def _kept(self, member: Member) -> float:
        rate = self.rates.get(member.name, 0.0)
        return rate * (0.7 * self._rate(member, "shop") + 0.3 * self._rate(member, "pay"))

    def _rate(self, member: Member, service: str) -> float:
        return settle(member.own, member.guidance, View(0, ())).plan.of_service(service).rate


@virtual
async def test_the_target_is_held_through_steps_joins_and_leavers(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        await here.join("g1", "g2", "g3", config=AS_SHIPPED)
        await here.join("h1", region="us", config=AS_SHIPPED)
        await here.shared.put(KEYS.global_config, blob(ADAPTIVE))
        await seen(lambda: all(one.guidance.led for one in here.members), "it is led")
        traffic = Traffic(here)

        traffic.rates = {"g1": 2_000, "g2": 500, "g3": 1_500, "h1": 1_000}
        await traffic.flow(2 * SOON_S)
        assert traffic.kept() == pytest.approx(TARGET, rel=0.05)

        traffic.rates = {name: 10 * rate for name, rate in traffic.rates.items()}
        await traffic.flow(SOON_S)
        assert traffic.kept() == pytest.approx(TARGET, rel=0.05), "a step up"

        await here.join("g4", config=AS_SHIPPED)
        traffic.rates["g4"] = 30_000
        await traffic.flow(SOON_S)
        assert traffic.kept() == pytest.approx(TARGET, rel=0.05), "one more"

        leader = here.members[0]
        assert "global" in leader.leads
        here.members.remove(leader)
        await leader.leave()
        traffic.rates["g2"] += traffic.rates.pop("g1")
        await traffic.flow(SOON_S)
        assert traffic.kept() == pytest.approx(TARGET, rel=0.05), "the leader has left"

        traffic.rates = {name: rate / 10 for name, rate in traffic.rates.items()}
        await traffic.flow(SOON_S)
        assert traffic.kept() == pytest.approx(TARGET, rel=0.05), "a step down"


@virtual
async def test_many_that_take_their_leave_are_not_reckoned_with(tmp_path: Path) -> None:
    """Half of them at once look like leases that a store has lost: but they have said that they receive nothing."""
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        await here.join("g1", "g2", "g3", "g4", config=AS_SHIPPED)
        await here.shared.put(KEYS.global_config, blob(ADAPTIVE))
        await seen(lambda: all(one.guidance.led for one in here.members), "it is led")
        traffic = Traffic(here)
        traffic.rates = dict.fromkeys(("g1", "g2", "g3", "g4"), 5_000)
        await traffic.flow(SOON_S)
        assert traffic.kept() == pytest.approx(TARGET, rel=0.05)
        leavers, here.members = here.members[2:], here.members[:2]
        await asyncio.gather(*(member.leave() for member in leavers))
        await traffic.flow(SOON_S)
        assert traffic.kept() == pytest.approx(TARGET, rel=0.05)
