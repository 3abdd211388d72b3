"""Little memory and slow backends: the gateway says UNAVAILABLE with RetryInfo, keeps to its bound, and recovers."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import psutil
import pytest

from sidecar.errors import GrpcStatus
from tests.faults.books import duplicates, seen, settle
from tests.harness import otlp
from tests.harness.clients import Client, Clients, Exports, statuses
from tests.harness.gateway import Gateway
from tests.harness.load import Generator
from tests.harness.patience import until
from tests.harness.proxy import Proxy
from tests.harness.sink import ACCEPT, Answer, Received, Sink, always, backends

pytestmark = pytest.mark.process

MIB = 1 << 20
SMALL = {"limits.memory_bytes": "8MiB", "limits.message_bytes": "4MiB"}
QUEUE = {"limits.backend_queue_bytes": "1MiB", "batch.max_bytes": "512KiB"}


def test_a_small_memory_is_kept_to() -> None:
    """The clients want several times as much as there is."""
    with (
        backends(2, always(Answer(delay_s=0.3))) as sinks,
        Gateway([sink.port for sink in sinks], settings=SMALL) as gateway,
        Clients(gateway.address, 8, lambda: otlp.spans(4, padding=60_000)) as load,
        Generator(gateway.port, spans=500, conns=8, streams=60, rate=500, seconds=30) as generator,
    ):
        worker = psutil.Process(gateway.status().workers[0].pid)
        most_booked, most_resident = 0, 0

        def look() -> bool:
            nonlocal most_booked, most_resident
            most_booked = max(most_booked, gateway.status().memory_bytes)
            most_resident = max(most_resident, worker.memory_info().rss)
            return gateway.metric("otlp_errors_total") > 40  # mostly of who wants more than its share

        until(look, "clients are turned away")
        for sink in sinks:
            sink.script = ACCEPT
        until(load.progressed(20), "clients are served again")
        generated = generator.stop()
        load.stop()
        settle(gateway)
        assert statuses(load.failures) <= {GrpcStatus.UNAVAILABLE}
        assert all(told.retry_after_s for told in load.failures)
        assert generated.unavailable > 0
        assert generated.resource_exhausted == generated.other_status == generated.no_status == 0
        assert load.acknowledged <= seen(sinks).keys()
        assert duplicates(seen(sinks)) == 0
        assert most_booked < 16 * MIB, "what is admitted may go a little over"
        assert most_resident < 100 * MIB
        until(lambda: gateway.status().memory_bytes < 4 * MIB, "the memory is given back")


def test_bodies_that_do_not_come_shut_nobody_out() -> None:
    """Large requests that stop in the middle hold at most half of the memory, and not for longer than their time."""
    with ExitStack() as stack:
        (sink,) = stack.enter_context(backends(1))
        gateway = stack.enter_context(Gateway([sink.port], settings=SMALL | {"delivery.max_wait": "1s"}))
        client = stack.enter_context(Client(gateway.address))
        proxies = [stack.enter_context(Proxy(gateway.port)) for _ in range(10)]
        stuck = [Exports(proxy.address) for proxy in proxies]
        for proxy, exports in zip(proxies, stuck, strict=True):
            proxy.stall_after = 800_000
            exports.begin(otlp.spans(30, padding=100_000))

        def all_stopped() -> bool:
            return all(p.upward >= 800_000 or e.told for p, e in zip(proxies, stuck, strict=True))

        until(all_stopped, "all of them stop in the middle, or are turned away")
        assert {client.export(otlp.spans(4)).status for _ in range(50)} == {GrpcStatus.OK}
        until(lambda: client.export(otlp.spans(30, padding=100_000)).status is GrpcStatus.OK, "there is room again")
        for proxy in proxies:
            proxy.cut()
        assert {told.status for exports in stuck for told in exports.end()} == {GrpcStatus.UNAVAILABLE}
        settle(gateway)


def test_the_queue_of_one_backend_is_full() -> None:
    """Who sends to the others is served."""
    with (
        backends(2) as sinks,
        Gateway([sink.port for sink in sinks], settings=QUEUE) as gateway,
    ):
        sinks[1].script = always(Answer(delay_s=0.3))
        with Clients(gateway.address, 12, lambda: otlp.spans(4, per_trace=1, padding=60_000)) as load:
            until(lambda: len(load.failures) > 10, "clients are turned away")
            load.stop()
        assert statuses(load.failures) == {GrpcStatus.UNAVAILABLE}
        assert {told.words for told in load.failures} == {"no backend has room for the request"}
        assert all(told.retry_after_s for told in load.failures)
        settle(gateway)
        with Client(gateway.address) as client:
            assert client.export(otlp.spans(4)).status is GrpcStatus.OK
        assert load.acknowledged <= seen(sinks).keys()


LARGE = {"limits.memory_bytes": "256MiB", "limits.backend_queue_bytes": "4MiB", "batch.max_bytes": "512KiB"}


@pytest.mark.parametrize("settings", [SMALL, LARGE], ids=["memory", "queue"])
def test_a_polite_client_beside_greedy_ones(settings: dict[str, str]) -> None:
    """They ask again at once after each refusal, with more than there is; it waits when it is told to."""
    with (
        backends(2, always(Answer(delay_s=0.3))) as sinks,
        Gateway([sink.port for sink in sinks], settings=settings) as gateway,
        Generator(gateway.port, spans=500, conns=8, streams=60) as greedy,
        Clients(gateway.address, 1, lambda: otlp.spans(4, padding=60_000)) as polite,
    ):
        until(lambda: gateway.metric("otlp_errors_total") > 1000, "they are turned away")
        until(polite.progressed(20), "the polite one is served")
        polite.stop()
        assert len(polite.failures) <= polite.exports, "most of the time at once"
        generated = greedy.stop()
        settle(gateway)
        assert generated.unavailable > 1000
        assert polite.acknowledged <= seen(sinks).keys()


def test_items_up_to_a_limit() -> None:
    """More than that are turned away, with a time to come back; the limit changes while the gateway works."""
    held = threading.Event()

    def hold(_: Received) -> Answer:
        held.wait(20)
        return Answer()

    with Sink(hold) as sink, Gateway([sink.port], settings={"limits.items": 10}) as gateway:
        exports = Exports(gateway.address)
        exports.begin(otlp.spans(6), otlp.spans(6))
        until(lambda: gateway.ledger().in_flight == 12, "they are in flight")
        with Client(gateway.address) as client:
            told = client.export(otlp.spans(1))
            assert (told.status, told.retry_after_s) == (GrpcStatus.UNAVAILABLE, 1.0)
            assert told.words == "the gateway holds as many items as it may"
            gateway.reload(settings={"limits.items": 13})
            exports.begin(otlp.spans(5))
            until(lambda: gateway.ledger().in_flight == 17, "more may be in flight")
            held.set()
            assert statuses(exports.end()) == {GrpcStatus.OK}
            assert client.export(otlp.spans(1)).status is GrpcStatus.OK
        settle(gateway)
        ledger = gateway.ledger()
        assert (ledger.received, ledger.forwarded, ledger.rejected) == (19, 18, 1)


def test_what_is_too_large_for_the_gateway_or_for_a_backend() -> None:
    with backends(1) as sinks:
        settings = {"limits.message_bytes": "6MiB"}
        with Gateway([sinks[0].port], settings=settings) as gateway, Client(gateway.address) as client:
            several = client.export(otlp.spans(50, padding=100_000))
            assert several.status is GrpcStatus.OK, "5 MB become several calls of at most 4 MiB"
            assert len(sinks[0].received) > 1
            assert len(sinks[0].span_ids()) == 50
            told = client.export(otlp.spans(70, padding=100_000))
            assert (told.status, told.retry_after_s) == (GrpcStatus.RESOURCE_EXHAUSTED, None)
            told = client.export(otlp.request([otlp.span(b"t" * 16, b"s" * 8, padding=5_000_000)]))
            assert (told.status, told.retry_after_s) == (GrpcStatus.RESOURCE_EXHAUSTED, None)
            ledger = gateway.ledger()
            assert (ledger.received, ledger.forwarded, ledger.rejected) == (51, 50, 1)
