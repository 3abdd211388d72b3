"""SIGTERM, twice where once takes too long."""

from __future__ import annotations

import pytest

from sidecar.errors import GrpcStatus
from sidecar.model import Signal
from tests.faults.books import settle
from tests.harness import otlp
from tests.harness.clients import Client, Exports, statuses
from tests.harness.gateway import Gateway
from tests.harness.patience import listens, until
from tests.harness.sink import Answer, Sink, always

pytestmark = pytest.mark.process

AT_ONCE_S = 15.0
"""Far less than what the gateways here would wait for."""


def test_told_twice_it_drops_what_is_not_sent_and_ends() -> None:
    settings = {"delivery.max_wait": "60s", "shutdown.drain_timeout": "60s"}
    with (
        Sink(always(Answer(delay_s=60.0))) as sink,
        Gateway([sink.port], "--workers", "2", settings=settings) as gateway,
    ):
        exports = Exports(gateway.address)
        exports.begin(*(otlp.spans(4) for _ in range(5)))
        until(lambda: gateway.ledger().in_flight == 20, "they are under way")
        gateway.begin_to_stop()
        until(lambda: gateway.events("draining"), "it drains")
        gateway.begin_to_stop()
        gateway.process.wait(AT_ONCE_S)
        final = gateway.stop()[Signal.TRACES]
        assert (final.received, final.forwarded, final.dropped_total) == (20, 0, 20)
        assert len(gateway.events("told to stop twice: what is not sent yet is dropped")) == 1
        assert statuses(exports.end()) == {GrpcStatus.UNAVAILABLE}


def test_it_serves_on_while_it_says_that_it_is_not_ready_and_told_twice_it_waits_no_longer() -> None:
    settings = {"shutdown.unready_for": "60s", "shutdown.drain_timeout": "60s"}
    with Sink() as sink, Gateway([sink.port], settings=settings) as gateway, Client(gateway.address) as client:
        assert gateway.page("/readyz")[0] == 200
        gateway.begin_to_stop()
        until(lambda: not gateway.ready(), "it says so")
        assert gateway.page("/readyz") == (503, b"the gateway is draining\n")
        assert gateway.status().reason == "the gateway is draining"
        assert client.export(otlp.spans(3)).status is GrpcStatus.OK
        with Client(gateway.address) as late:
            assert late.export(otlp.spans(3)).status is GrpcStatus.OK, "who comes is served too"
        settle(gateway)
        gateway.begin_to_stop()
        gateway.process.wait(AT_ONCE_S)
        assert gateway.stop()[Signal.TRACES].forwarded == 6
        assert not listens(gateway.port)
