"""Leaders that die, freeze and come back: somebody goes on where they stopped, and nobody hears two of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.coord.cluster import EtcdCluster
from tests.fleet.form import FORMS, Form
from tests.fleet.member import FleetGateway
from tests.fleet.stage import Stage, staged

pytestmark = pytest.mark.process

ADAPTIVE = "global:\n  sampling_strategies: [{type: adaptive, min_rate: 0.001, target_qps: 200}]\n"


@pytest.fixture(scope="module", params=FORMS)
def trio(etcd: EtcdCluster, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """One region of three gateways; the configuration is one that needs a leader. Each test leaves it whole."""
    form: Form = request.param
    with staged(etcd, ("solo",), 3, form=form) as stage:
        stage.apply(ADAPTIVE)
        yield stage


def leader(stage: Stage) -> FleetGateway:
    """Who leads the fleet, and is known to."""
    found: list[FleetGateway] = []

    def led() -> bool:
        found[:] = [gateway for gateway in stage.gateways if "global" in gateway.fleet.leads]
        return len(found) == 1 and all(gateway.fleet.led for gateway in stage.gateways)

    stage.until(led, "somebody leads")
    return found[0]


def token(gateway: FleetGateway) -> int:
    """Of the leader whose target it works by."""
    return gateway.fleet.target_token


def test_a_successor_goes_on_where_a_dead_one_stopped(trio: Stage) -> None:
    dead = leader(trio)
    others = [gateway for gateway in trio.gateways if gateway is not dead]
    with trio.load(*others, per_trace=1, rate=50) as load:
        trio.until(lambda: (dead.fleet.target_rate or 1.0) < 0.5, "the target is told")
        before, rate = token(dead), dead.fleet.target_rate
        assert rate is not None
        dead.kill()
        told: list[float] = []

        def succeeded() -> bool:
            told.extend(gateway.fleet.target_rate or 1.0 for gateway in others)
            return all(token(gateway) > before and gateway.fleet.led for gateway in others)

        trio.until(succeeded, "another one leads")
        assert max(told) < 3 * rate, "no gateway has fallen back to keeping everything"
    assert load.failed == 0
    dead.start()
    trio.until(lambda: token(dead) > before and trio.whole(), "it is back, and follows")


def test_one_that_was_frozen_writes_nothing_when_it_wakes(trio: Stage) -> None:
    """Fault 14: beyond its lease somebody else leads; it is refused, registers anew, and follows."""
    frozen = leader(trio)
    others = [gateway for gateway in trio.gateways if gateway is not frozen]
    before = token(frozen)
    with trio.accounted() as account, trio.load() as load:
        with frozen.frozen():
            trio.until(lambda: all(token(gateway) > before for gateway in others), "another one leads")
            epoch = max(gateway.fleet.view_epochs["solo"] for gateway in others)
            trio.meanwhile(30, account, *others)
        trio.until(lambda: frozen.fleet.lease_losses >= 1 and frozen.fleet.lease_valid, "it registers anew")
        trio.until(lambda: token(frozen) == token(others[0]) > before, "it follows")
        trio.until(
            lambda: all(gateway.fleet.view_epochs["solo"] >= epoch for gateway in trio.gateways), "nothing goes back"
        )
        assert "global" not in frozen.fleet.leads
        trio.until(trio.whole, "all are there again")
    assert load.failed == 0
    assert account.forwarded + account.sampled_out == load.sent


def test_a_rolling_upgrade_is_believed_each_time(trio: Stage) -> None:
    """All say good-bye and come back within seconds, the leader among them: a storm would hold them for a minute."""

    def sees(gateways: list[FleetGateway], members: int) -> bool:
        return all(gateway.sees(members) for gateway in gateways)

    for leaver in trio.gateways:
        others = [gateway for gateway in trio.gateways if gateway is not leaver]
        with trio.load(*others, rate=20) as load:
            leaver.begin_to_stop()
            trio.until(partial(sees, others, 2), "its place is given to the others")
            leaver.stop()
            leaver.start()
            trio.until(trio.whole, "it is back")
        assert load.failed == 0
