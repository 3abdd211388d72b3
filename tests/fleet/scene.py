"""What stands on the stage of `make fleet`: etcd, gateways, collectors, load, all of it processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sidecar.model import Signal
from sidecar.snapshot import LedgerRow
from tests import parts
from tests.coord.cluster import EtcdCluster
from tests.fleet.collector import StockCollector
from tests.fleet.member import FleetGateway
from tests.fleet.stage import Stage, seed
from tests.harness.gateway import Settings
from tests.harness.load import Generator, Tracked, TrackingSinks
from tests.harness.patience import until

REGIONS = ("us-east-1", "us-west-2")
EACH = 2
SPANS = 20
SERVICES = 8
FOREVER_S = 1e6


class Scene:
    """The fleet, the collectors that can be taken away, and what has come to them."""

    def __init__(self, stage: Stage, collectors: list[TrackingSinks], stock: ExitStack) -> None:
        self.stage = stage
        self.collectors = collectors
        self._stock = stock
        self.came: list[Tracked] = []
        """Of collectors that have ended."""
        self.generators: list[Generator] = []
        self.extra: list[Generator] = []
        self.sent = self.acknowledged = 0
        """Spans, once the load has ended."""

    @property
    def gateways(self) -> list[FleetGateway]:
        """All of them."""
        return self.stage.gateways

    def ledger(self) -> LedgerRow:
        """All ledgers added up."""
        return total([gateway.ledger() for gateway in self.gateways])

    def take_away(self, index: int) -> None:
        """A collector ends."""
        self.came.append(self.collectors[index].stop())

    def bring_back(self, index: int) -> None:
        """It starts again, where it was."""
        self.collectors[index].__enter__()

    def flow(self, rate: int) -> None:
        """So many requests a second to each gateway, until the end."""
        self.generators += [generator(gateway, rate) for gateway in self.gateways]

    def surge(self, rate: int) -> None:
        """More of them to the first region."""
        self.extra += [generator(gateway, rate) for gateway in self.stage.of(REGIONS[0])]

    def calm(self) -> None:
        """Ends that."""
        self._stop(self.extra)
        self.extra.clear()

    def silence(self) -> None:
        """Ends all load, and waits for what is open."""
        self._stop([*self.generators, *self.extra])
        self.generators, self.extra = [], []

    def drain(self) -> LedgerRow:
        """Ends all gateways at the same time, each by its own drain; what they tell at the very end, added up."""
        for gateway in self.gateways:
            gateway.begin_to_stop()
        with ThreadPoolExecutor(len(self.gateways)) as pool:
            finals = [final[Signal.TRACES] for final in pool.map(FleetGateway.stop, self.gateways)]
        return total(finals)

    def count(self) -> int:
        """Ends the collectors; the distinct spans that have come to each of them, added up."""
        self._stock.close()  # it sends on what it holds
        self.came += [one.stop() for one in self.collectors if one.running]
        return sum(one.distinct_spans for one in self.came)

    def kill(self) -> None:
        """What is left of the load."""
        for one in (*self.generators, *self.extra):
            one.__exit__()

    def _stop(self, generators: list[Generator]) -> None:
        if generators:
            with ThreadPoolExecutor(len(generators)) as pool:
                for told in pool.map(Generator.stop, generators):
                    self.sent += told.spans_sent
                    self.acknowledged += told.spans_ok


def generator(gateway: FleetGateway, rate: int) -> Generator:
    """Load for one gateway."""
    options = {"conns": 1, "streams": 4, "services": SERVICES, "per_trace": 8}
    return Generator(gateway.port, spans=SPANS, seed=seed(), rate=rate, seconds=FOREVER_S, **options)


def total(rows: list[LedgerRow]) -> LedgerRow:
    """The sum."""
    counts = {
        name: sum(getattr(row, name) for row in rows)
        for name in ("received", "forwarded", "sampled_out", "rejected", "in_flight")
    }
    return LedgerRow(
        signal=Signal.TRACES, service="*", dropped={"any": sum(row.dropped_total for row in rows)}, **counts
    )


@contextmanager
def scene(home: Path) -> Iterator[Scene]:
    """Everything runs and is whole inside the `with`. Under CI=true the last collector is a stock one."""
    with ExitStack() as stack:
        etcd = stack.enter_context(EtcdCluster.running(parts.binary("etcd")))
        collectors = [stack.enter_context(TrackingSinks(1)) for _ in range(EACH * len(REGIONS))]
        ports = [one.ports[0] for one in collectors]
        settings: list[Settings] = [{} for _ in collectors]
        stock = stack.enter_context(ExitStack())
        if os.environ.get("CI") == "true":
            collector = StockCollector(f"127.0.0.1:{ports[-1]}")
            stock.enter_context(collector.running(parts.binary("otelcol")))
            ports[-1], settings[-1] = collector.port, collector.settings
        stage = Stage(etcd, home)
        for index, port in enumerate(ports):
            region = REGIONS[index // EACH]
            name = f"{region}-{'ab'[index % EACH]}"
            stage.gateways.append(stage.gateway(region, name, collector=port, settings=settings[index]))
        for gateway in stage.gateways:
            stack.push(gateway)
        with ThreadPoolExecutor(len(stage.gateways)) as pool:
            list(pool.map(FleetGateway.__enter__, stage.gateways))
        until(stage.whole, "the fleet is whole")
        made = Scene(stage, collectors, stock)
        stack.callback(made.kill)
        yield made
