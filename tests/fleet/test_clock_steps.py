"""The time of day is stepped under load, fault 13: nothing but what people read hangs on it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import NamedTuple

import msgspec
import pytest

from sidecar.control.records import Blob
from tests.coord.cluster import EtcdCluster
from tests.fleet.form import FORMS, Form
from tests.fleet.member import FleetGateway
from tests.fleet.stage import Stage, staged
from tests.harness.sink import ACCEPT, OK, Answer, Received
from tests.harness.wall_clock import WallClock

pytestmark = pytest.mark.process

HOUR_S, DAY_S = 3600, 86400
STEPS_S = (HOUR_S, -2 * HOUR_S, HOUR_S + DAY_S, -2 * DAY_S, DAY_S)
"""An hour and a day ahead of the true time, and as much behind it."""


class Figures(NamedTuple):
    """What would show that somebody took the step for time that has passed."""

    lease_losses: int
    relists: int
    resumes: int
    generation: int
    restarts: int

    @classmethod
    def of(cls, gateway: FleetGateway) -> Figures:
        status = gateway.status()
        fleet, restarts = status.fleet, sum(worker.restarts for worker in status.workers)
        return cls(fleet.lease_losses, fleet.relists, fleet.resumes, status.generation, restarts)


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> WallClock:
    return WallClock(tmp_path_factory.mktemp("wall"))


@pytest.fixture(scope="module", params=FORMS)
def pair(etcd: EtcdCluster, wall: WallClock, request: pytest.FixtureRequest) -> Iterator[Stage]:
    form: Form = request.param
    settings = {"delivery.ack": "queued"}
    with staged(etcd, ("solo",), 2, form=form, settings=settings, environment=wall.environment) as stage:
        yield stage


def read_clock_s(stage: Stage) -> float:
    """The time of day, as a gateway writes it into the history of the configuration."""
    return msgspec.json.decode(stage.entry("config/global")[1], type=Blob).applied_unix_s


def test_steps_under_load(pair: Stage, wall: WallClock) -> None:
    pair.change("global:\n  sampling_rate: 0.5\n")
    with pair.accounted() as account:
        with pair.load() as load:
            pair.meanwhile(30, account)
            pair.steady()
            before = [Figures.of(gateway) for gateway in pair.gateways]
            for step_s in STEPS_S:
                wall.step(step_s)
                pair.meanwhile(30, account)
            assert [Figures.of(gateway) for gateway in pair.gateways] == before
            for number, step_s in enumerate(STEPS_S, 1):
                wall.step(step_s)
                pair.change(f"global:\n  sampling_rate: {number / len(STEPS_S)}\n")
                assert abs(read_clock_s(pair) - time.time() - wall.off_s) < HOUR_S / 2
        assert load.failed == 0
    assert account.received == load.sent
    assert account.split == set()
    pair.until(pair.whole, "the fleet is whole")


@pytest.mark.parametrize("step_s", [DAY_S, -DAY_S])
def test_what_waits_in_a_queue_does_not_grow_old_by_it(pair: Stage, wall: WallClock, step_s: int) -> None:
    """Clients have their OK, collectors take their time, the clock is stepped: nothing expires."""
    with pair.accounted() as account:
        with pair.load() as load, held_up(pair) as released:
            pair.until(lambda: held(pair) > 500, "much waits")
            wall.step(step_s)
            pair.meanwhile(30, account)
            assert held(pair) > 500
            released.set()
            pair.until(lambda: held(pair) < 500, "it goes on")
            wall.step(-step_s)
        assert load.failed == 0
    assert account.received == load.sent


@contextmanager
def held_up(stage: Stage) -> Iterator[Event]:
    """The collectors answer nothing until they are released."""
    released = Event()

    def answer(_: Received) -> Answer:
        released.wait()
        return OK

    for sink in stage.sinks:
        sink.script = answer
    try:
        yield released
    finally:
        released.set()
        for sink in stage.sinks:
            sink.script = ACCEPT


def held(stage: Stage) -> int:
    """Spans whose clients have their OK, and that no collector has."""
    return sum(gateway.ledger().in_flight for gateway in stage.gateways)
