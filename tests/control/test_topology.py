"""The fleet as people see it, read from a store that a fleet has filled."""

import asyncio
from pathlib import Path

import pytest

from sidecar.config.fleet import GlobalConfig
from sidecar.config.fleet_file import read_fleet
from sidecar.config.schema import RoutingConfig, SamplingConfig
from sidecar.control.best import best
from sidecar.control.guidance import Guidance
from sidecar.control.records import TargetRecord
from sidecar.control.topology import Topology, topology
from sidecar.coord.memory import MemoryStore
from sidecar.model import Health, RegionHealth
from sidecar.sampling.plan import SamplingPlan, ServiceLoad
from sidecar.sampling.settle import plan_of
from sidecar.snapshot import Load
from tests.control.members import KEYS, Hall, blob, hall, seen
from tests.control.records import address
from tests.coord.virtual_time import clock, virtual

pytestmark = pytest.mark.usefixtures("no_threads")

ADAPTIVE = """
global:
  sampling_strategies:
    - {type: adaptive, min_rate: 0.001, max_rate: 1.0, target_qps: 100}
"""


def by_target(target: TargetRecord | None) -> SamplingPlan:
    """What the configuration and a target say together."""
    everywhere = read_fleet(ADAPTIVE, "test").everywhere or GlobalConfig()
    return plan_of(SamplingConfig(), everywhere, target.rate if target else None, target.services if target else {})


async def filled(here: Hall) -> Topology:
    """Two regions under load, one collector out of reach."""
    members = await here.join("g1", "g2") + await here.join("h1", region="us")
    await here.shared.put(KEYS.global_config, blob(ADAPTIVE))
    for member in members:
        member.senses.seen = {"shop": ServiceLoad(received=1000, kept=100)}
        member.senses.own_load = Load(latency_ms=4, bytes_per_s=1e6)
    for member in members[:2]:
        member.senses.lost = {str(address("g2")): "refused"}
    await seen(lambda: all(one.guidance.led for one in members), "it is led")
    await seen(lambda: all(one.guidance.target.rate for one in members if one.guidance.target), "there is a target")
    await seen(lambda: members[0].guidance.views["eu"].down, "one is passed over")
    await here.reads(
        KEYS.sampling_target, TargetRecord, lambda one: (one.gateways, one.fleet_received) == (3, 3000), "all count"
    )
    return await topology(here.shared, KEYS, by_target)


@virtual
async def test_a_whole_fleet(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        fleet = await filled(here)
        assert fleet.leader == "g1"
        assert fleet.target is not None
        eu, us = fleet.regions
        assert (eu.name, eu.leader, us.name, us.leader) == ("eu", "g1", "us", "h1")
        assert (eu.health, us.health) == (RegionHealth.DEGRADED, RegionHealth.HEALTHY)
        assert eu.epoch == here.members[0].guidance.views["eu"].epoch
        assert {one.record.service.id: one.health for one in eu.collectors} == {
            "c-g1": Health.HEALTHY,
            "c-g2": Health.UNHEALTHY,
        }
        assert "2 of 2 gateways cannot reach it" in next(one.reason for one in eu.collectors if one.reason)
        assert (eu.totals.received, eu.totals.kept, eu.effective_rate) == (2000, 200, 0.1)
        assert (eu.totals.latency_ms, eu.totals.bytes_per_s) == (4, 2e6)
        gateway = eu.gateways[0]
        assert gateway.actual_rate == 0.1
        assert gateway.target_rate == pytest.approx(100 / 3000, rel=0.1)


@virtual
async def test_who_is_behind(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        await filled(here)
        late = ["all"]
        for _ in range(200):
            fleet = await topology(here.shared, KEYS, by_target)
            late = [one.record.service.id for region in fleet.regions for one in region.gateways if one.behind]
            if not late:
                break
            await asyncio.sleep(0.1)
        assert late == [], "nobody is for long"
        here.members[1].coordinator.announcer.applied(Guidance())
        for _ in range(200):
            fleet = await topology(here.shared, KEYS, by_target)
            late = [one.record.service.id for region in fleet.regions for one in region.gateways if one.behind]
            if late:
                break
            await asyncio.sleep(0.1)
        assert late == ["g2"]


@virtual
async def test_what_is_not_ours_is_passed_over(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        before = await filled(here)
        for key in ("regions/!!/gateways/x", "regions//view", "regions/eu/gateways/x", "regions/eu/else", "regions/y"):
            await here.shared.put(f"{KEYS.prefix}/{key}", b"\xff")
        await here.shared.put(f"{KEYS.prefix}/election/nothing", b"\xff")
        after = await topology(here.shared, KEYS, by_target)
        assert [region.name for region in after.regions] == [region.name for region in before.regions]
        assert after.regions[0].gateways == before.regions[0].gateways


@virtual
async def test_an_empty_store(tmp_path: Path) -> None:
    fleet = await topology(MemoryStore(clock=clock()), KEYS, by_target)
    assert fleet.regions == ()
    assert best(fleet, "eu", RoutingConfig()).reason == "there is no region eu, nor has any other region"


@virtual
async def test_the_best_of_a_real_fleet(tmp_path: Path) -> None:
    async with hall(MemoryStore(clock=clock()), tmp_path, clock()) as here:
        fleet = await filled(here)
        near = best(fleet, "eu", RoutingConfig()).best
        assert near is not None
        assert near.id == "c-g1", "the other one is out of reach"
        far = best(fleet, "eu", RoutingConfig(), only_region="us").best
        assert far is not None
        assert far.id == "c-h1"
        assert best(fleet, "eu", RoutingConfig(), only_region="asia").best is None
