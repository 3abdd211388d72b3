"""A stock Collector in a fleet: its load is read from its own metrics, and spans go through it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.coord.cluster import EtcdCluster
from tests.fleet.collector import StockCollector
from tests.fleet.stage import Stage, staged
from tests.harness.patience import until
from tests.harness.sink import Sink

pytestmark = pytest.mark.process


def test_a_stock_collector_beside_a_gateway(etcd: EtcdCluster, otelcol_binary: Path) -> None:
    with (
        Sink() as behind,
        StockCollector(behind.address).running(otelcol_binary) as collector,
        staged(etcd, ("solo",), 1) as stage,
    ):
        gateway = stage.gateway("solo", "solo-1", collector=collector.port, settings=collector.settings)
        with gateway:
            until(lambda: gateway.sees(2), "both are in the view")
            with stage.load(gateway, rate=50) as load:
                until(lambda: works(stage), "the fleet sees what it does")
            assert load.failed == 0
            best = gateway.best()
            assert best.best is not None
            assert {one.id for one in best.candidates} == {"solo-0-collector", "solo-1-collector"}
            beside = len(stage.sinks[0].span_ids())
            until(lambda: beside + len(behind.span_ids()) == load.sent, "every span is at one of the two")
            final = gateway.ledger()
            assert (final.forwarded, final.in_flight) == (load.sent, 0)
            assert behind.span_ids()


def works(stage: Stage) -> bool:
    """Whether the topology has what only its own metrics tell."""
    (region,) = stage.gateways[0].topology().regions
    load = {one.record.service.id: one.record.load for one in region.collectors}["solo-1-collector"]
    return load.qps > 50 and load.memory > 0 and load.cpu > 0
