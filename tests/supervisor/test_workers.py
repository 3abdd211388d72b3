"""Workers that die, hang, or have lost their supervisor."""

from __future__ import annotations

import json
import os
import signal
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from sidecar.errors import GrpcStatus
from sidecar.snapshot import WorkerStatus
from tests.faults.books import seen, settle
from tests.harness import otlp
from tests.harness.clients import Client, Clients, Exports, statuses
from tests.harness.gateway import Gateway
from tests.harness.patience import until
from tests.harness.sink import ACCEPT, Answer, Sink, always, backends

pytestmark = pytest.mark.process

NEVER = always(Answer(delay_s=60.0))


def worker(gateway: Gateway) -> WorkerStatus:
    """The only one."""
    [one] = gateway.status().workers
    return one


def gone(pid: int) -> bool:
    """Whether a process has ended, though nobody may have asked how."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_worker_that_is_killed_is_restarted_and_its_books_are_closed() -> None:
    with Sink(NEVER) as sink, Gateway([sink.port], settings={"delivery.max_wait": "30s"}) as gateway:
        exports = Exports(gateway.address)
        exports.begin(otlp.spans(8), otlp.spans(5))
        until(lambda: gateway.ledger().in_flight == 13, "both are under way")
        until(lambda: gateway.status().memory_bytes > 0, "they take memory")
        first = worker(gateway)
        os.kill(first.pid, signal.SIGKILL)
        assert statuses(exports.end()) == {GrpcStatus.UNAVAILABLE}, "no OK was given, none is taken back"
        until(lambda: gateway.ready() and worker(gateway).restarts == 1, "another one serves")
        ledger = gateway.ledger()
        assert (ledger.received, ledger.in_flight, dict(ledger.dropped)) == (13, 0, {"worker_crash": 13})
        assert worker(gateway).pid != first.pid
        assert gateway.status().memory_bytes == 0, "what the dead one held is given back"
        [died] = gateway.events("a worker died")
        assert (died["how"], died["dropped_items"]) == ("SIGKILL", 13)
        sink.script = ACCEPT
        with Client(gateway.address) as client:
            assert client.export(otlp.spans(4)).status is GrpcStatus.OK
        settle(gateway)
        assert gateway.ledger().forwarded == 4


def test_a_worker_that_hangs_is_killed_and_restarted() -> None:
    with Sink() as sink, Gateway([sink.port]) as gateway, Client(gateway.address) as client:
        assert client.export(otlp.spans(3)).status is GrpcStatus.OK
        first = worker(gateway)
        os.kill(first.pid, signal.SIGSTOP)
        until(lambda: gateway.ready() and worker(gateway).restarts == 1, "another one serves")
        assert gone(first.pid)
        assert len(gateway.events("a worker hangs, it is killed")) == 1
        until(lambda: client.export(otlp.spans(3)).status is GrpcStatus.OK, "its clients are served again")
        assert gateway.ledger().dropped == {}, "it held nothing"


def test_two_workers_share_the_connections() -> None:
    with ExitStack() as stack:
        sinks = stack.enter_context(backends(2))
        gateway = stack.enter_context(Gateway([sink.port for sink in sinks], "--workers", "2"))
        clients = 0
        while not all(one.connections for one in gateway.status().workers):
            client = stack.enter_context(Client(gateway.address))
            clients += 1
            assert client.export(otlp.spans(6)).status is GrpcStatus.OK
            until(lambda: sum(one.connections for one in gateway.status().workers) == clients, "it is counted")  # noqa: B023
        settle(gateway)
        shown = json.loads(gateway.page("/status")[1])["workers"]
        assert [one["number"] for one in shown] == [0, 1]
        assert len({one["pid"] for one in shown}) == 2
        assert all(one["alive"] and one["generation"] == 1 and one["backends_up"] == 2 for one in shown)
        assert sum(one["connections"] for one in shown) == clients
        assert gateway.ledger().forwarded == 6 * clients, "the ledger is that of both"
        for one in shown:
            environment = Path(f"/proc/{one['pid']}/environ").read_bytes().split(b"\0")
            assert b"GLIBC_TUNABLES=glibc.malloc.tcache_count=256" in environment


def test_workers_without_a_supervisor_serve_on_and_drain_while_another_gateway_takes_the_port() -> None:
    with ExitStack() as stack:
        sinks = stack.enter_context(backends(2))
        ports = [sink.port for sink in sinks]
        first = stack.enter_context(Gateway(ports, "--workers", "2"))
        load = stack.enter_context(Clients(first.address, 4))
        until(load.progressed(20), "clients are served")
        workers = [one.pid for one in first.status().workers]
        first.process.kill()
        first.process.wait()
        until(load.progressed(20), "clients are served by workers without a supervisor")
        second = stack.enter_context(Gateway(ports, "--listen", first.address))
        assert not any(map(gone, workers)), "both are there"
        with Client(second.address) as client:
            assert client.export(otlp.spans(3)).status is GrpcStatus.OK
        until(lambda: all(map(gone, workers)), "the workers have drained")
        assert first.log_text().count("the supervisor has gone, the worker drains soon") == 2
        until(load.progressed(20), "their clients are served by the other gateway")
        load.stop()
        settle(second)
        assert second.ledger().forwarded > 3
        assert load.failures == [], "nobody noticed"
        assert load.acknowledged <= seen(sinks).keys()
