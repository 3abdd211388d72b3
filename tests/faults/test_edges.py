"""Corners of the wire through the real program: profiles, IPv6, silent backends, no descriptors, no stream ids."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from contextlib import ExitStack

import grpc
import psutil
import pytest

from sidecar.errors import GrpcStatus
from sidecar.model import Signal
from tests.faults.books import settle
from tests.harness import otlp
from tests.harness.clients import Client, Clients
from tests.harness.gateway import Gateway
from tests.harness.load import Generator
from tests.harness.patience import free_port, until
from tests.harness.sink import Answer, Sink, always, backends
from tests.kernels.wire import field
from tests.native.peer import connected

pytestmark = pytest.mark.process

HIGHEST_STREAM = 2**31 - 1


# ---- profiles


def profiles(n: int) -> bytes:
    """n profiles of each of two services, which share a dictionary, and fields that nobody knows."""
    made = b""
    for service in (os.urandom(4).hex(), "cart"):
        inside = b"".join(field(2, field(1, os.urandom(16)) + field(2000, b"new")) for _ in range(n))
        made += field(1, field(1, field(1, otlp.text("service.name", service))) + field(2, inside))
    return made + field(2, os.urandom(200)) + field(901, 7)


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip], ids=["plain", "gzip"])
@pytest.mark.parametrize("onward", ["none", "gzip"])
def test_profiles_are_passed_whole(compression: grpc.Compression, onward: str) -> None:
    """Each request is one call, and its bytes are what was sent."""
    bodies = [profiles(20) for _ in range(20)]
    with (
        backends(2) as sinks,
        Gateway([sink.port for sink in sinks], "--compression", onward) as gateway,
        Client(gateway.address, compression) as client,
    ):
        assert {client.export(body, Signal.PROFILES).status for body in bodies} == {GrpcStatus.OK}
        settle(gateway)
        arrived = [body for sink in sinks for body in sink.bodies(Signal.PROFILES)]
        assert sorted(arrived) == sorted(bodies)
        assert all(sink.received for sink in sinks)
        assert gateway.ledger(Signal.PROFILES).forwarded == 20 * 40


# ---- words of a backend


def test_a_warning_of_a_backend_reaches_the_client() -> None:
    """OTLP: partial_success that rejects nothing, with words."""
    with (
        Sink(always(Answer(words="use the new endpoint"))) as sink,
        Gateway([sink.port]) as gateway,
        Client(gateway.address) as client,
    ):
        told = client.export(otlp.spans(5))
        assert (told.status, told.rejected, told.words) == (GrpcStatus.OK, 0, "use the new endpoint")
        settle(gateway)
        assert gateway.ledger().forwarded == 5


# ---- addresses


class Sink6(Sink):
    """A sink on ::1."""

    @property
    def address(self) -> str:
        return f"[::1]:{self.port}"


def speaks_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.mark.skipif(not speaks_ipv6(), reason="there is no ::1 here")
def test_ipv6_on_both_sides() -> None:
    port = free_port()
    with (
        Sink6() as six,
        Sink() as four,
        Gateway([f"[::1]:{six.port}", four.port], "--listen", f"[::1]:{port}") as gateway,
        Client(f"[::1]:{port}") as client,
        Client(gateway.address) as other,
    ):
        assert {one.export(otlp.spans(40, per_trace=1)).status for one in (client, other)} == {GrpcStatus.OK}
        assert six.received
        assert four.received
        settle(gateway)
        assert gateway.ledger().forwarded == 80
        assert f"[::1]:{six.port}" in {backend.name for backend in gateway.status().backends}


# ---- a backend that accepts connections and says nothing


def test_a_backend_that_never_says_that_it_speaks_http2() -> None:
    """It is found out, and asked again; the other one has its traces meanwhile."""
    with (
        socket.create_server(("127.0.0.1", free_port())) as silent,
        Sink() as sink,
        Gateway([sink.port, silent.getsockname()[1]], ready=False) as gateway,
        Clients(gateway.address, 2, lambda: otlp.spans(40, per_trace=1)) as load,
    ):
        until(gateway.ready, "one backend is enough")
        until(load.progressed(20), "clients are served")
        failed = "a backend cannot be reached"
        until(lambda: gateway.events(failed), "it is given up")
        assert {said["reason"] for said in gateway.events(failed)} == {"nobody speaks HTTP/2 there"}
        assert gateway.up() == 1
        until(load.progressed(20), "clients are served")
        load.stop()
        settle(gateway)
        assert load.failures == []
        assert load.acknowledged == sink.span_ids().keys()


# ---- descriptors


def test_no_descriptor_is_left_for_another_client() -> None:
    """Who is connected is served; the worker does not spin, and takes the others when it can."""
    with Sink() as sink, Gateway([sink.port]) as gateway, Clients(gateway.address, 2) as load, ExitStack() as stack:
        until(load.progressed(10), "clients are served")
        worker = psutil.Process(gateway.status().workers[0].pid)
        _, hard = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (worker.num_fds() + 2, hard))
        waiting = [stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port))) for _ in range(8)]
        until(lambda: gateway.metric("spangate_accept_errors_total") > 0, "the worker has run out of them")
        tried = gateway.metric("spangate_accept_errors_total")
        until(load.progressed(200), "clients are served")
        assert gateway.metric("spangate_accept_errors_total") - tried < 100, "it waits before it tries again"
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (hard, hard))
        until(lambda: gateway.status().workers[0].connections == 2 + len(waiting), "all are accepted")
        with Client(gateway.address) as client:
            assert client.export(otlp.spans(3)).status is GrpcStatus.OK
        load.stop()
        settle(gateway)
        assert load.failures == []
        assert load.acknowledged <= sink.span_ids().keys()


# ---- streams


async def test_the_last_stream_ids_of_a_connection() -> None:
    """A client that has used all but two: they are served, and the connection ends like any other."""
    with Sink() as sink, Gateway([sink.port]) as gateway:
        peer = await connected(gateway.port)
        assert (await peer.exported(otlp.spans(1))).status is GrpcStatus.OK
        peer.h2.highest_outbound_stream_id = HIGHEST_STREAM - 4
        for stream in (HIGHEST_STREAM - 2, HIGHEST_STREAM):
            answer = await peer.exported(otlp.spans(1))
            assert peer.answers[stream] is answer
            assert answer.status is GrpcStatus.OK
        await asyncio.to_thread(gateway.stop)
        assert peer.goaways[0] == (HIGHEST_STREAM, 0)
        peer.drop()
        assert len(sink.span_ids()) == 3


def test_a_connection_with_very_many_streams() -> None:
    """Hundreds at a time, tens of thousands one after the other; each is answered."""
    with (
        Sink() as sink,
        Gateway([sink.port]) as gateway,
        Generator(gateway.port, spans=1, conns=1, streams=500) as generator,
    ):
        until(lambda: gateway.metric("otlp_requests_total") > 30_000, "they are served")
        assert gateway.status().workers[0].connections == 1
        generated = generator.stop()
        settle(gateway)
        assert generated.ok == generated.requests > 30_000
        assert sink.span_ids().keys() == generator.span_ids(generated.spans_sent)
