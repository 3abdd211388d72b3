"""The same on a real etcd of three: what hangs on leases, fences and watches as etcd has them."""

import asyncio
import secrets
from pathlib import Path
from typing import Self

import msgspec
import pytest

from sidecar.clock import SystemClock
from sidecar.config.schema import CoordinationConfig
from sidecar.control.records import StatsRecord, TargetRecord
from sidecar.coord.etcd import EtcdStore
from sidecar.coord.keys import Keys
from sidecar.coord.store import FenceLost, Store
from sidecar.sampling.plan import ServiceLoad
from tests.control.members import Hall, Member, blob, seen
from tests.coord.cluster import EtcdCluster

pytestmark = pytest.mark.process

TTL_S = 2.0
ADAPTIVE = """
global:
  sampling_strategies:
    - {type: adaptive, min_rate: 0.001, max_rate: 1.0, target_qps: 1000}
  routing_rules:
    - {service: "pay-*", target_region: us}
"""


def quick(cluster: EtcdCluster, prefix: str) -> CoordinationConfig:
    return cluster.config(prefix=prefix, lease_ttl_s=TTL_S, announce_every_s=0.2, timeout_s=1.0)


class EtcdHall(Hall):
    """Each member has a client of its own; and so has the test."""

    def __init__(self, cluster: EtcdCluster, folder: Path) -> None:
        self.config = quick(cluster, f"/control-{secrets.token_hex(4)}")
        self.keys = Keys(self.config.prefix)
        self._own = EtcdStore(self.config)
        super().__init__(self._own, folder, SystemClock())

    async def enter(self, *names: str, region: str = "eu") -> list[Member]:
        found = []
        for name in names:
            store: Store = EtcdStore(self.config)
            member = Member(store, name, self.folder, self.clock, region=region, config=self.config)
            self.members.append(member)
            found.append(await member.start())
        return found

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await asyncio.gather(*(member.leave() for member in self.members))
        for member in self.members:
            await member.store.inner.close()
        await self._own.close()


async def test_a_fleet_on_etcd(etcd: EtcdCluster, tmp_path: Path) -> None:
    async with EtcdHall(etcd, tmp_path) as here:
        one, two, three = await here.enter("g1", "g2", "g3")
        (far,) = await here.enter("h1", region="us")
        await here.shared.put(here.keys.global_config, blob(ADAPTIVE))
        for member in here.members:
            member.senses.seen = {"shop": ServiceLoad(received=2500, kept=250)}
        await seen(lambda: all(_rate(one) == pytest.approx(0.1, rel=0.05) for one in here.members), "a target", 20)
        await seen(lambda: {_members(one) for one in here.members[:3]} == {3}, "one view", 20)
        await seen(lambda: "us" in one.guidance.views, "the view that a rule names", 20)
        assert one.guidance.views["us"] == far.guidance.views["us"]
        assert "eu" not in far.guidance.views
        entry = await here.shared.get(here.keys.sampling_target)
        stats = await here.shared.get(f"{here.keys.stats}eu")
        assert entry is not None
        assert stats is not None
        assert entry.lease
        assert stats.lease
        before = msgspec.json.decode(entry.value, type=TargetRecord)

        office = one.coordinator.region_office._election.leadership
        assert office is not None
        await one.crash()
        await seen(lambda: "regions/eu" in (*two.leads, *three.leads), "another leads the region", 20)
        await seen(lambda: any("global" in member.leads for member in here.members[1:]), "another leads the fleet", 20)
        await seen(lambda: two.guidance.led and (two.guidance.target or before).token > before.token, "a target", 20)
        with pytest.raises(FenceLost):
            await here.shared.put(f"{here.keys.stats}eu", b"late", fence=office.fence)
        sums = await here.reads(f"{here.keys.stats}eu", StatsRecord, lambda found: found.gateways == 2, "its sums")
        assert sums.token > office.token


async def test_nobody_leads_without_a_quorum_and_all_goes_on(etcd_binary: Path, tmp_path: Path) -> None:
    with EtcdCluster.running(etcd_binary) as cluster:
        async with EtcdHall(cluster, tmp_path) as here:
            one, two = await here.enter("g1", "g2")
            await here.shared.put(here.keys.global_config, blob(ADAPTIVE))
            await seen(lambda: one.guidance.led and two.guidance.led, "it is led", 20)
            await seen(lambda: _members(two) == _members(one) == 2, "it has its view", 20)
            view = two.guidance.views["eu"]
            for node in cluster.nodes[:2]:
                node.kill()
            await seen(lambda: not one.leads and not two.leads, "nobody leads", 20)
            assert two.guidance.views["eu"] == view
            assert two.guidance.config == one.guidance.config
            cluster.start(*cluster.nodes[:2])
            await seen(lambda: len(one.leads) + len(two.leads) == 2, "somebody does again", 30)
            await seen(lambda: one.guidance.led and two.guidance.led, "it is led", 30)
            assert two.guidance.views["eu"].members == view.members


def _rate(member: Member) -> float:
    target = member.guidance.target
    return target.rate if target is not None and target.rate is not None else 1.0


def _members(member: Member) -> int:
    view = member.guidance.views.get("eu")
    return len(view.members) if view else 0
