"""What a gateway feels of its members and of the collector beside it."""

from typing import cast

import pytest

from sidecar.config.schema import CollectorConfig
from sidecar.load.collector import CollectorWatch
from sidecar.model import Endpoint, Health, Signal
from sidecar.sampling.plan import SamplingPlan, Shed
from sidecar.snapshot import BackendStatus, Load
from sidecar.supervisor.gateway import Counted, RunningGateway
from sidecar.supervisor.observed import Counts
from sidecar.supervisor.senses import SUSPECT_S, GatewaySenses


class Hand:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic_s(self) -> float:
        return self.now_s

    def monotonic_ns(self) -> int:
        return int(self.now_s * 1e9)


class FakeGateway:
    """Counters that a test has set."""

    def __init__(self) -> None:
        self.received = 0
        self.members: dict[str, BackendStatus] = {}

    def counted(self) -> Counted:
        return Counted(self.received, self.received * 100, 0, 0, 0, 0.0)

    def services(self) -> dict[str, Counts]:
        return {"shop": Counts(received=self.received, kept=self.received // 10)}

    def backends(self) -> tuple[BackendStatus, ...]:
        return tuple(self.members.values())

    def member(self, name: str, *, up: bool = True, sent: int = 0, share: float = 0.0, latency_ms: float = 0.0) -> None:
        self.members[name] = BackendStatus(
            name=name,
            address=f"{name}:4317",
            up=up,
            reason="" if up else "refused",
            sent={Signal.TRACES: sent},
            share=share,
            latency_p50_ms=latency_ms,
            queue_bytes=10,
            queue_limit_bytes=100,
        )


class Rig:
    def __init__(self) -> None:
        self.clock, self.gateway = Hand(), FakeGateway()
        self.senses = GatewaySenses(cast("RunningGateway", self.gateway), list, "g1", "eu", self.clock)

    def tick(self, seconds: float = 1.0) -> None:
        self.clock.now_s += seconds
        self.senses.tick(SamplingPlan())


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_who_is_out_of_reach_is_told_after_a_while(rig: Rig) -> None:
    rig.gateway.member("a")
    rig.gateway.member("b", up=False)
    rig.tick()
    assert rig.senses.suspects() == {}
    rig.tick(SUSPECT_S)
    assert rig.senses.suspects() == {"b:4317": "refused"}
    assert set(rig.senses.collector_loads()) == {"a:4317"}
    rig.gateway.member("b")
    rig.tick()
    assert rig.senses.suspects() == {}
    rig.gateway.member("b", up=False)
    rig.tick()
    assert rig.senses.suspects() == {}, "it counts from anew"
    del rig.gateway.members["b"]
    rig.tick(SUSPECT_S)
    assert rig.senses.suspects() == {}, "who has left is nobody's trouble"


def test_services_are_told_per_second(rig: Rig) -> None:
    rig.tick()
    rig.gateway.received += 1000
    rig.tick(2.0)
    seen = rig.senses.observed()["shop"]
    assert (seen.received, seen.kept) == (500, 50)


def test_what_members_are_seen_to_do_carries_its_weight(rig: Rig) -> None:
    """Latencies of several gateways are averaged by what each of them sends: without a rate they would not count."""
    rig.gateway.member("a", sent=0, share=0.75, latency_ms=5)
    rig.gateway.member("b", sent=0, share=0.25, latency_ms=50)
    rig.tick()
    rig.gateway.member("a", sent=750, share=0.75, latency_ms=5)
    rig.gateway.member("b", sent=250, share=0.25, latency_ms=50)
    rig.tick(2.0)
    loads = rig.senses.collector_loads()
    assert loads["a:4317"] == Load(queue=0.1, latency_ms=5, qps=375)
    assert loads["b:4317"] == Load(queue=0.1, latency_ms=50, qps=125)
    del rig.gateway.members["a"]  # its count goes with it
    rig.tick()
    assert rig.senses.collector_loads()["b:4317"].qps == 0


def test_without_a_collector_there_is_none_to_tell_of(rig: Rig) -> None:
    assert rig.senses.collector() is None


def test_the_collector_beside_it(rig: Rig) -> None:
    class Watch:
        class state:  # noqa: N801
            health, reason, load = Health.UNHEALTHY, "its queue is full", Load(queue=1.0)

    config = CollectorConfig(endpoint=Endpoint("10.0.0.1", 4317), weight=2.0)
    rig.senses.beside(config, cast("CollectorWatch", Watch()), 7.0)
    record = rig.senses.collector()
    assert record is not None
    assert (record.by, record.weight, record.load.queue) == ("g1", 2.0, 1.0)
    who = record.service
    assert (who.address, who.region, who.health, who.reason) == (
        Endpoint("10.0.0.1", 4317),
        "eu",
        Health.UNHEALTHY,
        "its queue is full",
    )
    assert ":" not in who.id
    assert who.registered_at_unix_s == 7.0


def test_nothing_is_shed_unless_it_may_be(rig: Rig) -> None:
    for _ in range(20):
        rig.tick()
    assert rig.senses.shed == Shed()
    assert rig.senses.foresight(Shed()).shed == {}


def test_what_is_shed_is_told_with_its_cause(rig: Rig) -> None:
    rig.tick()
    assert rig.senses.foresight(Shed(low=0.5)).shed == {"ceiling": {"low": 0.5}}
    rig.senses.shed = Shed(low=0.0, normal=0.25)
    assert rig.senses.foresight(Shed()).shed == {"degradation": {"low": 0.0, "normal": 0.25}}
