"""From guidance to the workers: what is published, what is not, and when the fleet is told."""

import asyncio
import errno
import os
import threading
from typing import Any

import msgspec
import pytest

from sidecar.config.fleet import FleetConfig, GlobalConfig, RateLimitingConfig, StrategyConfig
from sidecar.config.load import Sources
from sidecar.config.overlay import Overlay
from sidecar.config.schema import BackendConfig, GatewayConfig, RoutingConfig
from sidecar.control.guidance import Guidance
from sidecar.control.records import ConfigState, MemberRecord, TargetRecord, ViewRecord
from sidecar.errors import ConfigInvalid, Problem
from sidecar.model import Endpoint, MemberSource, RoutingStrategy, SamplingStrategy
from sidecar.policy import shelf as policy_shelf
from sidecar.policy.compile import compile_policy
from sidecar.policy.policy import Policy
from sidecar.routing.intelligent import Observed as SeenMember
from sidecar.sampling.plan import ServiceLoad, Shed
from sidecar.supervisor import publisher as publishing
from sidecar.supervisor.publisher import LEADERLESS_S
from tests.supervisor.publishing import Bench, FakeSenses

REGISTRY = GatewayConfig(region="eu", routing=RoutingConfig(members=MemberSource.REGISTRY))


def rate(value: float, version: int = 1, **more: object) -> Guidance:
    states = {"global": ConfigState(applied_version=version)}
    told = Guidance(config=FleetConfig(GlobalConfig(sampling_rate=value)), states=states)
    return msgspec.structs.replace(told, **more)


def view(epoch: int, *members: MemberRecord) -> Guidance:
    return Guidance(views={"eu": ViewRecord(region="eu", epoch=epoch, members=members)})


def member(name: str, host: str = "", weight: float = 1.0) -> MemberRecord:
    return MemberRecord(id=name, address=Endpoint(f"{host or name}.example", 4317), weight=weight)


async def test_several_at_once_collapse(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    await bench.publisher.publish()
    publishes, go_on = [], threading.Event()

    def slow(*values: Any) -> Policy:
        go_on.wait(10)
        return compile_policy(*values)

    monkeypatch.setattr(publishing, "compile_policy", slow)
    monkeypatch.setattr(publishing, "fills_nothing", lambda *_values: False)
    for step in range(1, 21):
        bench.publisher.guidance = rate(step / 20)
        publishes.append(asyncio.ensure_future(bench.publisher.publish()))
        await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(*publishes)
    assert bench.policy.sampling.rate == 1.0
    assert bench.policy.generation == 3, "the one that was under way, and one for all the others"
    assert [keeper.told for keeper in bench.keepers] == [list(range(1, bench.policy.generation + 1))] * 2


async def test_the_fleet_is_told_once_all_workers_go_by_it() -> None:
    bench = Bench()
    for keeper in bench.keepers:
        keeper.alive = False
    told = rate(0.5)
    await bench.guided(told)
    bench.publisher.acknowledged()
    assert bench.applied == [], "nobody works by it yet"
    for keeper in bench.keepers:
        keeper.alive = True
        bench.publisher.acknowledged()
        assert bench.applied == []
    bench.keepers[0].obey()
    bench.publisher.acknowledged()
    assert bench.applied == []
    bench.keepers[1].alive = False  # it has died: its successor starts with what is on the shelf
    bench.publisher.acknowledged()
    bench.publisher.acknowledged()
    assert bench.applied == [told]


async def test_what_changes_nothing_is_acknowledged_without_a_policy() -> None:
    bench = Bench()
    await bench.guided(rate(0.5))
    bench.obey()
    again = rate(0.5, version=2)
    await bench.guided(again)
    assert bench.policy.generation == 1
    assert bench.gateway.said_by["sampling.rate"] == "global v2"
    bench.publisher.acknowledged()
    assert bench.applied == [again]


async def test_a_mixture_that_does_not_do_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    await bench.guided(rate(0.5))
    bench.obey()
    bench.publisher.acknowledged()
    former = bench.policy

    def refuses(*_what: object, **_how: object) -> None:
        raise ConfigInvalid([Problem("sampling", "does not do")])

    with monkeypatch.context() as broken:
        broken.setattr(publishing, "settle", refuses)
        await bench.guided(rate(0.25))
    assert bench.policy is former
    bench.publisher.acknowledged()
    assert len(bench.applied) == 1
    await bench.publisher.publish()
    assert bench.policy.sampling.rate == 0.25, "the next one is taken"


@pytest.mark.parametrize(
    "members",
    [
        (member("a"), member("b", "a")),
        (member("a"), member("a", "b")),
        (member("a", weight=-1.0),),
        tuple(member(f"m{number}") for number in range(70_000)),
    ],
    ids=["address", "name", "weight", "many"],
)
async def test_members_that_cannot_be_routed_to(members: tuple[MemberRecord, ...]) -> None:
    bench = Bench(REGISTRY)
    await bench.guided(view(1, member("a"), member("b")))
    await bench.guided(view(2, *members))
    assert bench.policy.areas[0].view.epoch == 1
    await bench.guided(view(3, member("c")))
    assert bench.policy.areas[0].view.epoch == 3

    first = Bench(REGISTRY)
    await first.guided(view(2, *members))
    assert first.policy.areas[0].view.members == (), "it starts, by its own configuration"
    await first.guided(view(3, member("c")))
    assert first.policy.areas[0].view.epoch == 3


async def test_no_descriptors_left(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    await bench.guided(rate(0.5))

    def none_left(_image: bytes) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as starved:
        starved.setattr(policy_shelf, "seal", none_left)
        await bench.guided(rate(0.25))
    assert (bench.policy.sampling.rate, bench.publisher.effective.sampling.rate) == (0.5, 0.5)
    await bench.publisher.publish()
    assert (bench.policy.sampling.rate, bench.publisher.effective.sampling.rate) == (0.25, 0.25)


async def test_a_reload_that_does_not_go_with_the_fleet_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    await bench.guided(rate(0.5))

    def refuses(*_what: object, **_how: object) -> None:
        raise ConfigInvalid([Problem("sampling", "does not do")])

    with monkeypatch.context() as broken:
        broken.setattr(Overlay, "settled", refuses)
        with pytest.raises(ConfigInvalid):
            bench.publisher.reload(GatewayConfig(), Sources())
    assert bench.publisher.config == bench.config
    backends = (*bench.config.backends, BackendConfig(address=Endpoint("b.example", 4317), name="b"))
    bench.publisher.reload(msgspec.structs.replace(bench.config, backends=backends), Sources())
    await bench.publisher.publish()
    assert [one.name for one in bench.policy.members] == ["a", "b"]


# ---- what is shed, and shares


async def test_shedding_makes_a_policy_only_when_it_matters() -> None:
    bench = Bench()
    await bench.publisher.publish()
    assert not bench.shed_by(FakeSenses(), 1.0)
    assert bench.shed_by(FakeSenses(Shed(low=0.5)), 2.0)
    assert not bench.shed_by(FakeSenses(Shed(low=0.495)), 3.0)
    assert bench.shed_by(FakeSenses(Shed(low=0.4)), 4.0)
    await bench.publisher.publish()
    assert bench.policy.sampling.shed.low == 0.4
    assert bench.shed_by(FakeSenses(), 5.0)


def led(received: float, gateways: int, *, limited: bool, leads: bool = True) -> Guidance:
    limits = RateLimitingConfig(max_qps=1000) if limited else None
    adaptive = StrategyConfig(type=SamplingStrategy.ADAPTIVE, target_qps=100, min_rate=0.001)
    config = GlobalConfig(rate_limiting=limits, sampling_strategies=(adaptive,))
    target = TargetRecord(token=1, led=True, rate=0.1, fleet_received=received, gateways=gateways)
    return Guidance(config=FleetConfig(config), target=target, led=leads)


def load(rate: float) -> FakeSenses:
    return FakeSenses(observed={"shop": ServiceLoad(received=rate, kept=rate * 0.1)})


async def test_a_share_makes_a_policy_only_where_there_are_limits() -> None:
    for limited in (False, True):
        bench = Bench()
        await bench.guided(led(1000, 4, limited=limited))
        assert bench.shed_by(load(500), 1.0) is limited
        assert bench.publisher.share == 0.5
        assert not bench.shed_by(load(505), 2.0)
        await bench.publisher.publish()
        assert bench.policy.sampling.limit.per_s == (500 if limited else 0)


async def test_an_idle_gateway_may_begin() -> None:
    bench = Bench()
    await bench.guided(led(1000, 4, limited=True))
    bench.shed_by(load(0), 1.0)
    await bench.publisher.publish()
    assert bench.policy.sampling.limit.per_s == pytest.approx(25)


async def test_without_a_leader_a_gateway_keeps_to_its_share_after_a_while() -> None:
    bench = Bench()
    await bench.guided(led(1000, 2, limited=False))
    bench.shed_by(load(500), 10.0)
    assert bench.publisher.share == 0.5
    await bench.guided(led(1000, 2, limited=False, leads=False))
    assert not bench.shed_by(load(5000), 10.0 + LEADERLESS_S / 2), "an election takes a moment"
    assert bench.shed_by(load(5000), 10.1 + LEADERLESS_S)
    await bench.publisher.publish()
    plan = bench.policy.sampling
    assert bench.publisher.ceiling == bench.publisher.shed == plan.shed
    assert 5000 * plan.rate * plan.shed.normal == pytest.approx(50, rel=0.01), "its half of the target"
    assert bench.publisher.share == 0.5, "who grows takes nothing from the others"
    await bench.guided(led(1000, 2, limited=False))
    assert bench.shed_by(load(500), 20.0)
    assert bench.publisher.shed == bench.publisher.ceiling == Shed()


# ---- weights without a registry


async def test_weights_follow_the_workers_figures_under_intelligent() -> None:
    backends = tuple(BackendConfig(address=Endpoint(f"{name}.example", 4317), name=name) for name in "ab")
    routing = RoutingConfig(strategy=RoutingStrategy.INTELLIGENT)
    bench = Bench(GatewayConfig(region="eu", backends=backends, routing=routing))
    await bench.publisher.publish()
    bench.gateway.loads = {
        "a": SeenMember(load=0.9, latency_ms=50.0),
        "b": SeenMember(load=0.1, latency_ms=1.0),
    }
    assert bench.publisher.reweigh()
    await bench.publisher.publish()
    one, two = bench.policy.members
    assert one.weight < 1 < two.weight
    assert not bench.publisher.reweigh()

    others = Bench(
        msgspec.structs.replace(REGISTRY, routing=msgspec.structs.replace(routing, members=MemberSource.REGISTRY))
    )
    others.gateway.loads = bench.gateway.loads
    assert not others.publisher.reweigh(), "there the leader weighs"
