"""Every routing strategy moves every signal, and its books are right; those that own traces split none."""

import pytest

from sidecar.model import RoutingStrategy, Signal
from tests.faults.books import settle
from tests.harness.gateway import Gateway, Settings
from tests.harness.load import Generator, TrackingSinks

pytestmark = pytest.mark.process

OWNING = {RoutingStrategy.CONSISTENT_HASH, RoutingStrategy.INTELLIGENT}
SPREADING = [*sorted(set(RoutingStrategy) - OWNING), RoutingStrategy.INTELLIGENT]


def move(settings: Settings, signal: Signal = Signal.TRACES) -> int:
    """Moves 20,000 items with two workers and three backends; how many traces were split."""
    with TrackingSinks(3) as sinks, Gateway(sinks.ports, "--workers", "2", settings=settings) as gateway:
        with Generator(gateway.port, spans=10, requests=2000, per_trace=4, conns=8, signal=signal) as generator:
            generated = generator.result()
        settle(gateway)
        assert generated.ok == generated.requests == 2000
        ledger = gateway.ledger(signal)
        assert ledger.received == ledger.forwarded == 20_000
        sent = [backend.sent[signal] for backend in gateway.status().backends]
        assert sum(sent) == 20_000
        assert all(sent) or signal is Signal.METRICS, "all backends have their share; metrics here have one resource"
        gateway.stop()
        tracked = sinks.stop()
    assert tracked.spans == 20_000
    if signal is Signal.TRACES:
        assert tracked.distinct_spans == 20_000
    return tracked.split_traces


@pytest.mark.parametrize("strategy", sorted(OWNING))
def test_owning(strategy: RoutingStrategy) -> None:
    assert move({"routing.strategy": str(strategy)}) == 0


@pytest.mark.parametrize("strategy", SPREADING)
def test_spreading(strategy: RoutingStrategy) -> None:
    assert move({"routing.strategy": str(strategy), "routing.ownership": "none"}) > 0


@pytest.mark.parametrize("signal", [Signal.LOGS, Signal.METRICS])
def test_other_signals(signal: Signal) -> None:
    move({}, signal)


def test_weights() -> None:
    """Three to one, and nothing to who has 0."""
    with TrackingSinks(3) as sinks:
        weighted = [f"127.0.0.1:{port},weight={weight}" for port, weight in zip(sinks.ports, (3, 1, 0), strict=True)]
        with Gateway(weighted) as gateway, Generator(gateway.port, spans=10, requests=2000, per_trace=1) as generator:
            assert generator.result().ok == 2000
            settle(gateway)
            first, second, third = (backend.sent[Signal.TRACES] for backend in gateway.status().backends)
            assert (first + second, third) == (20_000, 0)
            assert 14_500 < first < 15_500
