from __future__ import annotations

import pytest

from sidecar.load.capacity import HALF_LIFE_S, SUSTAINED_S, Capacity


def feed(
    capacity: Capacity, qps: float, *, first_s: float, last_s: float, queue: float = 0.0, healthy: bool = True
) -> None:
    """A look every two seconds."""
    at_s = first_s
    while at_s <= last_s:
        capacity.add(at_s, qps, queue, healthy=healthy)
        at_s += 2


def test_what_is_configured_is_what_counts() -> None:
    capacity = Capacity(500)
    feed(capacity, 9000, first_s=0, last_s=60)
    assert capacity.qps == 500


def test_a_rate_counts_once_it_was_held() -> None:
    capacity = Capacity()
    feed(capacity, 100, first_s=0, last_s=SUSTAINED_S - 2)
    assert capacity.qps == 0
    capacity.add(SUSTAINED_S, 100, 0.0, healthy=True)
    assert capacity.qps == 100


def test_of_a_burst_only_what_was_held_counts() -> None:
    capacity = Capacity()
    feed(capacity, 100, first_s=0, last_s=20)
    capacity.add(22, 9000, 0.0, healthy=True)
    feed(capacity, 120, first_s=24, last_s=40)
    assert capacity.qps == pytest.approx(120, rel=1e-3)


@pytest.mark.parametrize(("queue", "healthy"), [(0.5, True), (0.9, True), (0.0, False)])
def test_what_it_does_not_stand_teaches_nothing(queue: float, healthy: bool) -> None:
    capacity = Capacity()
    feed(capacity, 100, first_s=0, last_s=20)
    feed(capacity, 300, first_s=22, last_s=80, queue=queue, healthy=healthy)
    assert capacity.qps == pytest.approx(100, rel=1e-2)
    feed(capacity, 200, first_s=82, last_s=82 + SUSTAINED_S - 2)
    assert capacity.qps == pytest.approx(100, rel=1e-2), "what was held begins anew"
    capacity.add(82 + SUSTAINED_S, 200, 0.0, healthy=True)
    assert capacity.qps == pytest.approx(200, rel=1e-2)


def test_what_is_learnt_fades_slowly() -> None:
    capacity = Capacity()
    feed(capacity, 100, first_s=0, last_s=20)
    capacity.add(20 + HALF_LIFE_S, 10, 0.0, healthy=True)
    assert capacity.qps == pytest.approx(50)
    capacity.add(20 + 20 * HALF_LIFE_S, 10, 0.0, healthy=True)
    assert capacity.qps == pytest.approx(10), "never below what it does now"
