from __future__ import annotations

from sidecar.config.schema import RoutingConfig
from sidecar.control.best import best
from sidecar.control.records import CollectorRecord
from sidecar.control.region import stats_of
from sidecar.control.topology import CollectorView, RegionView, Topology
from sidecar.model import Health
from sidecar.snapshot import Load
from tests.control.records import collector

ROUTING = RoutingConfig()


def region(name: str, *members: CollectorRecord) -> RegionView:
    stats = stats_of(name, members, [], {})
    views = tuple(CollectorView(record=one, health=one.service.health, reason=one.service.reason) for one in members)
    return RegionView(name=name, health=stats.health, totals=stats, collectors=views)


def fleet(*regions: RegionView) -> Topology:
    return Topology(revision=1, regions=regions)


def test_the_highest_score_of_the_own_region_wins() -> None:
    here = region("eu", collector("a", load=Load(cpu=0.8, memory=0.8)), collector("b", load=Load(cpu=0.2)))
    answer = best(fleet(here, region("us", collector("c"))), "eu", ROUTING)
    assert answer.best is not None
    assert (answer.best.id, [one.id for one in answer.candidates]) == ("b", ["b", "a"])


def test_capacity_and_health_are_needed() -> None:
    full = collector("a", load=Load(qps=100, capacity_qps=100))
    ill = collector("b", health=Health.UNHEALTHY)
    answer = best(fleet(region("eu", full, ill), region("us", collector("c"))), "eu", ROUTING)
    assert answer.best is not None
    assert (answer.best.id, answer.best.region) == ("c", "us")
    assert {one.id: one.reason for one in answer.candidates if one.region == "eu"} == {
        "a": "no capacity left",
        "b": "unhealthy",
    }


def test_a_region_that_is_asked_for_is_not_left() -> None:
    there = fleet(region("eu", collector("a", health=Health.UNHEALTHY)), region("us", collector("c")))
    answer = best(there, "us", ROUTING, only_region="eu")
    assert answer.best is None
    assert answer.reason == "eu has no healthy collector with capacity left"
    assert best(there, "us", ROUTING, only_region="asia").reason == "there is no region asia"


def test_preference_breaks_ties() -> None:
    here = fleet(region("eu", collector("a"), collector("b")))
    chosen = best(here, "eu", ROUTING, preference=("b", "a")).best
    assert chosen is not None
    assert chosen.id == "b"


def test_nobody_anywhere() -> None:
    answer = best(fleet(region("eu")), "eu", ROUTING)
    assert answer.best is None
    assert answer.reason == "eu has no healthy collector with capacity left, nor has any other region"
