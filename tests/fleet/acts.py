"""What happens in `make fleet`, one thing after the other, so that a person sees the fleet react."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from sidecar.errors import Exit
from tests.fleet.scene import REGIONS, Scene

TARGET_QPS = 3000
FEWER_QPS = 1500
SURGE = 100


class Act(NamedTuple):
    """Something that is done to the fleet, and what to look at then."""

    words: str
    do: Callable[[Scene], None]


def adaptive(target_qps: int) -> str:
    """A configuration that holds a target, but keeps one service whole."""
    return f"""\
global:
  sampling_strategies:
    - {{type: adaptive, min_rate: 0.01, target_qps: {target_qps}}}
    - {{type: priority_based, rules: [{{priority: high, rate: 1.0, services: [service-0]}}]}}
  routing_rules:
    - {{service: service-3, target_region: {REGIONS[1]}, priority: low}}
"""


def apply(target_qps: int) -> Callable[[Scene], None]:
    """`spangate config apply` at the first gateway."""

    def do(scene: Scene) -> None:
        said = scene.gateways[0].apply(adaptive(target_qps), "--wait", "0s")
        if said.code != Exit.OK:
            raise RuntimeError(said.err)

    return do


def kill_a_member(scene: Scene) -> None:
    """The one that leads etcd."""
    etcd = scene.stage.etcd
    etcd.leader().kill()


def back_to_normal(scene: Scene) -> None:
    """Members that do not run start again, and there is no more load than at first."""
    etcd = scene.stage.etcd
    etcd.start(*(node for node in etcd.nodes if not node.healthy()))
    scene.calm()


ACTS = (
    Act(f"config apply: the fleet is to keep {TARGET_QPS:,} spans/s, service-0 whole", apply(TARGET_QPS)),
    Act(f"the load of {REGIONS[0]} grows: rates fall, the target holds", lambda scene: scene.surge(SURGE)),
    Act("the collector beside the first gateway dies: all go round it alike", lambda scene: scene.take_away(0)),
    Act("it is back: its traces return to it", lambda scene: scene.bring_back(0)),
    Act(f"config apply: {FEWER_QPS:,} spans/s from now on", apply(FEWER_QPS)),
    Act("the leader of etcd is killed: spans do not notice", kill_a_member),
    Act("that member is back, and the load as it was", back_to_normal),
)


def programme() -> Iterator[Act]:
    """The acts, over and over."""
    while True:
        yield from ACTS
