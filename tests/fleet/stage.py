"""A stage for a fleet: regions of gateways on one etcd, each with a collector, and what came of their load."""

from __future__ import annotations

import base64
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sidecar.control.records import Blob
from sidecar.errors import Exit
from sidecar.model import Signal
from sidecar.snapshot import LedgerRow
from tests.coord.cluster import EtcdCluster
from tests.fleet.form import SHORT, Form
from tests.fleet.member import AFFINITY_S, FleetGateway
from tests.fleet.program import Said
from tests.harness.gateway import Settings
from tests.harness.load import Generator
from tests.harness.patience import until
from tests.harness.sink import Sink

EMPTY = "global: {}\n"
REQUESTS_PER_S, SPANS = 40, 10
"""Of the load on each gateway, unless a test wants another one."""
MARGIN_S = 0.2
"""From the view that the store has to the last worker that goes by it."""


class Stage:
    """The fleet, and its sinks that stand for collectors. `home` keeps what gateways leave behind."""

    def __init__(self, etcd: EtcdCluster, home: Path, form: Form = SHORT) -> None:
        self.etcd = etcd
        self.form = form
        self.prefix = f"/fleet-{secrets.token_hex(4)}"
        self.home = home
        self.gateways: list[FleetGateway] = []
        self.sinks: list[Sink] = []

    def gateway(self, region: str, identity: str, **options: Any) -> FleetGateway:
        """Another member, not started yet."""
        return FleetGateway(self.etcd, self.prefix, region, identity, self.home / identity, **options)

    def of(self, region: str) -> list[FleetGateway]:
        """The gateways of a region."""
        return [gateway for gateway in self.gateways if gateway.region == region]

    def sinks_of(self, region: str) -> list[Sink]:
        """The collectors beside them."""
        return [sink for sink, gateway in zip(self.sinks, self.gateways, strict=True) if gateway.region == region]

    def whole(self) -> bool:
        """Whether all see all members of their region, none of them down."""
        return all(gateway.heard() and gateway.sees(len(self.of(gateway.region))) for gateway in self.gateways)

    def apply(self, text: str, *options: str) -> None:
        """`spangate config apply`, taken by all whom it concerns."""
        said = self.gateways[0].apply(text, *options)
        assert said.code == 0, said
        until(self.even, "every worker goes by it")

    def until(self, holds: Callable[[], object], what: str) -> None:
        """Waits for what must come true, as long as the form of the test allows."""
        until(holds, what, self.form.limit_s)

    def change(self, text: str) -> None:
        """Applies a configuration, as often as it takes, and waits until all go by it: no change is missed."""
        said: list[Said] = []

        def taken() -> bool:
            said[:] = [self.gateways[0].apply(text, "--wait", "0s")]
            return said[0].code == Exit.OK

        try:
            self.until(taken, "the store takes it")
        except AssertionError as error:
            error.add_note(f"the last answer: {said}")
            raise
        self.until(lambda: self.follows() and self.even(), "all follow")

    def follows(self) -> bool:
        """Whether every gateway goes by what the store has now."""
        revision, value = self.entry("config/global")
        version = msgspec.json.decode(value, type=Blob).version
        scopes = [gateway.fleet.scopes["global"] for gateway in self.gateways]
        return all((scope.applied_version, scope.applied_revision) == (version, revision) for scope in scopes)

    def meanwhile(self, fault_s: float, account: Account, *gateways: FleetGateway) -> None:
        """Lets the load of these, or of all, go on for as long as a fault lasts: what stops that is found."""
        who = gateways or self.gateways
        wanted = account.so_far_of(*who) + len(who) * REQUESTS_PER_S * SPANS * fault_s * self.form.factor
        limit_s = self.form.limit_s + 2 * fault_s * self.form.factor
        until(lambda: account.so_far_of(*who) > wanted, "spans flow on", limit_s)

    def steady(self, affinity_s: float = AFFINITY_S) -> None:
        """Waits until the views have not changed for longer than a trace stays with its former owner."""
        told: list[object] = []
        since_s = time.monotonic()

        def unchanged() -> bool:
            nonlocal told, since_s
            now = [(gateway.identity, gateway.fleet.view_epochs) for gateway in self.gateways]
            if now != told:
                told, since_s = [*now], time.monotonic()
            return time.monotonic() - since_s > affinity_s + MARGIN_S

        until(unchanged, "the views stay as they are")

    def entry(self, key: str) -> tuple[int, bytes]:
        """Revision and value of a key, from whichever member of etcd answers."""
        question = {"key": encoded(f"{self.prefix}/{key}")}
        for node in self.etcd.nodes:
            with suppress(OSError):
                (found,) = node.ask("kv/range", question)["kvs"]
                return int(found["mod_revision"]), base64.b64decode(found["value"])
        raise AssertionError("no member of etcd answers")

    def put(self, key: str, value: bytes) -> None:
        """Writes into the store past everything of ours."""
        self.etcd.nodes[0].ask("kv/put", {"key": encoded(f"{self.prefix}/{key}"), "value": encoded(value)})

    def even(self) -> bool:
        """Whether the workers of every gateway go by its last policy."""
        return all(gateway.heard() for gateway in self.gateways)

    @contextmanager
    def load(
        self, *gateways: FleetGateway, rate: int = REQUESTS_PER_S, spans: int = SPANS, **options: object
    ) -> Iterator[Load]:
        """`rate` requests a second to each of these, or to all, until the end of the `with`."""
        with ExitStack() as stack:
            generators = [
                stack.enter_context(
                    Generator(
                        gateway.port, spans=spans, seed=seed(), conns=1, streams=4, rate=rate, seconds=7200, **options
                    )
                )
                for gateway in gateways or self.gateways
            ]
            load = Load(generators)
            yield load
            load.stop()

    @contextmanager
    def accounted(self, *, duplicates: bool = False) -> Iterator[Account]:
        """What happens inside is held against the sinks at the end: every span is at one of them or was sampled out.

        `duplicates`: a collector dies inside, so that what it had not answered may come twice.
        """
        account = Account(self)
        yield account
        account.close(duplicates=duplicates)


class Load:
    """Generators at work."""

    def __init__(self, generators: Sequence[Generator]) -> None:
        self.sent = 0
        self.failed = 0
        self._generators = generators
        self._stopped = False

    def stop(self) -> None:
        """Sends no more; `sent` and `failed` are spans, once all is answered."""
        if self._stopped:
            return
        self._stopped = True
        with ThreadPoolExecutor(len(self._generators)) as pool:
            for told in pool.map(Generator.stop, self._generators):
                self.sent += told.spans_sent
                self.failed += told.spans_sent - told.spans_ok


class Account:
    """Two books: the ledgers of the gateways added up, and the spans at the sinks."""

    def __init__(self, stage: Stage) -> None:
        self.received = self.forwarded = self.sampled_out = 0
        """Spans, once it is closed."""
        self.owners: dict[bytes, set[int]] = {}
        """Which sinks, by index, have spans of each trace."""
        self._stage = stage
        self._before = {gateway.identity: gateway.ledger() for gateway in stage.gateways}
        self._seen = [len(sink.received) for sink in stage.sinks]

    def so_far(self) -> tuple[int, int]:
        """Spans received and forwarded, before it is closed."""
        now = [gateway.ledger() for gateway in self._stage.gateways]
        before = [
            self._before[gateway.identity] for gateway in self._stage.gateways if gateway.identity in self._before
        ]
        return (
            sum(row.received for row in now) - sum(row.received for row in before),
            sum(row.forwarded for row in now) - sum(row.forwarded for row in before),
        )

    def so_far_of(self, *gateways: FleetGateway) -> int:
        """Spans that these have received."""
        return sum(gateway.ledger().received - self._before[gateway.identity].received for gateway in gateways)

    @property
    def split(self) -> set[bytes]:
        """Traces with spans at more than one sink."""
        return {trace for trace, sinks in self.owners.items() if len(sinks) > 1}

    def bodies(self, index: int) -> list[bytes]:
        """What a sink has taken since the beginning."""
        return [
            one.body for one in self._stage.sinks[index].received[self._seen[index] :] if one.signal is Signal.TRACES
        ]

    def look(self) -> Counter[bytes]:
        """Brings `owners` up to what is at the sinks; the ids of all spans there, and how often each has come."""
        spans: Counter[bytes] = Counter()
        for index in range(len(self._stage.sinks)):
            for trace_id, span_id in ids(self.bodies(index)):
                spans[span_id] += 1
                self.owners.setdefault(trace_id, set()).add(index)
        return spans

    def close(self, *, duplicates: bool) -> None:
        """AssertionError where the books differ."""
        until(lambda: not any(one.ledger().in_flight for one in self._stage.gateways), "everything in flight ends")
        for gateway in self._stage.gateways:
            before = self._before.get(gateway.identity, LedgerRow(signal=Signal.TRACES, service="*"))
            now = gateway.ledger()
            self.received += now.received - before.received
            self.forwarded += now.forwarded - before.forwarded
            self.sampled_out += now.sampled_out - before.sampled_out
            assert now.dropped == before.dropped, f"{gateway.identity} has dropped spans: {now.dropped}"
            assert now.rejected == before.rejected, f"{gateway.identity} has rejected spans"
        assert self.received == self.forwarded + self.sampled_out
        spans = self.look()
        assert len(spans) == self.forwarded, "every span that was forwarded is at a sink"
        assert duplicates or spans.total() == len(spans), "none is there twice"


def ids(bodies: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Trace and span id of every span."""
    for body in bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    yield span.trace_id, span.span_id


@contextmanager
def staged(
    etcd: EtcdCluster,
    regions: Sequence[str],
    each: int,
    *,
    settings: Settings | None = None,
    form: Form = SHORT,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Stage]:
    """`each` gateways in every region, with a collector beside each; whole inside the `with`.

    At the end all drain, and each is held to its ledger. A test may have taken gateways away or added some.
    """
    with tempfile.TemporaryDirectory(prefix="spangate-fleet-") as home, ExitStack() as stack:
        stage = Stage(etcd, Path(home), form)
        options = {"settings": {**(settings or {}), **form.settings}, "environment": environment}
        for region in regions:
            for number in range(each):
                sink = stack.enter_context(Sink())
                stage.sinks.append(sink)
                stage.gateways.append(stage.gateway(region, f"{region}-{number}", collector=sink.port, **options))
        started = list(stage.gateways)
        for gateway in started:
            stack.push(gateway)
        with ThreadPoolExecutor(len(started)) as pool:
            list(pool.map(FleetGateway.__enter__, started))
        stage.until(stage.whole, "the fleet is whole")
        stage.steady()
        yield stage
        for gateway in started:
            if gateway.process.poll() is None:
                gateway.begin_to_stop()


def encoded(data: str | bytes) -> str:
    """As etcd's JSON gateway wants it."""
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


_seeds = iter(range(1, 1 << 20))


def seed() -> int:
    """One that no other load has, so that no two spans are alike."""
    return next(_seeds)
