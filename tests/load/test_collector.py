from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from sidecar.config.schema import CollectorConfig
from sidecar.errors import SpangateError
from sidecar.load.checks import CheckInvalid
from sidecar.load.collector import METRICS_LIMIT_BYTES, CollectorState, CollectorWatch
from sidecar.load.probe import Machine
from sidecar.model import Endpoint, Health
from sidecar.snapshot import Load
from tests.load.clock import HandClock
from tests.load.metrics import page
from tests.load.patience import until
from tests.load.server import Server, answer, nowhere

MACHINE = Machine(cpus=2, memory_bytes=1 << 30)


def watch(
    endpoint: Endpoint,
    clock: HandClock,
    *checks: str,
    metrics_url: str = "",
    health_url: str = "",
    capacity_qps: float = 0.0,
) -> CollectorWatch:
    """Looks ten times a second, or when it is told to."""
    config = CollectorConfig(
        endpoint=endpoint,
        health_url=health_url,
        checks=checks,
        metrics_url=metrics_url,
        capacity_qps=capacity_qps,
        check_every_s=0.1,
        rise=2,
        fall=2,
    )
    return CollectorWatch(config, clock, random.Random(1), beside=MACHINE)


@asynccontextmanager
async def watching(one: CollectorWatch) -> AsyncIterator[CollectorWatch]:
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


# ---- looks, one by one


async def test_before_the_first_look_nothing_is_known() -> None:
    one = watch(nowhere(), HandClock(), capacity_qps=500)
    assert one.state == CollectorState(Health.UNKNOWN, "", Load(capacity_qps=500))
    await one.stop()


async def test_health_and_load_of_a_collector() -> None:
    clock = HandClock()
    with Server(answer(page(accepted=0, cpu_s=10, rss_bytes=1 << 29))) as server:
        one = watch(server.endpoint, clock, metrics_url=server.url)
        await one.look()
        clock.now_s += 2
        server.response = answer(page(accepted=2000, cpu_s=11, rss_bytes=1 << 29, queue=100))
        state = await one.look()
    assert state == one.state
    assert (state.health, state.reason, state.problem) == (Health.HEALTHY, "", "")
    assert state.load == Load(cpu=0.25, memory=0.5, queue=0.1, qps=1000)


async def test_a_collector_that_is_away() -> None:
    where = nowhere()
    one = watch(where, HandClock(), metrics_url=f"http://{where}/metrics")
    await one.look()
    state = await one.look()
    assert state.health is Health.UNHEALTHY
    assert (state.reason, state.problem) == (f"tcp {where}: Connection refused", "Connection refused")
    assert state.load == Load()


async def test_health_as_its_url_says() -> None:
    with Server(answer("no", "503 Service Unavailable")) as server:
        one = watch(nowhere(), HandClock(), health_url=server.url)
        await one.look()
        state = await one.look()
        assert state.reason == f"http {server.endpoint}/metrics: status 503"
        server.response = answer("yes")
        await one.look()
        assert (await one.look()).health is Health.HEALTHY


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (answer("", "404 Not Found"), "status 404"),
        (answer("<html>"), "nothing in it begins with otelcol_"),
        (answer("otelcol_process_cpu_seconds many\n"), "no Prometheus text"),
        (answer(b"\xff\xfe"), "no Prometheus text"),
        (b"SSH-2.0\r\n\r\n", "no HTTP/1.1"),
        (answer(b"#" * (METRICS_LIMIT_BYTES + 1)), f"more than {METRICS_LIMIT_BYTES} bytes"),
        (None, "no answer within 1 s"),
    ],
    ids=["404", "html", "garbage", "no text", "no http", "endless", "slow"],
)
async def test_metrics_that_cannot_be_read_leave_health_and_load_as_they_were(
    response: bytes | None, problem: str
) -> None:
    clock = HandClock()
    with Server(answer(page(rss_bytes=1 << 29))) as server:
        one = watch(server.endpoint, clock, metrics_url=server.url)
        await one.look()
        before = await one.look()
        server.response = response
        state = await one.look()
        assert state.problem.startswith(problem)
        assert state[:3] == before[:3]
        assert state.load.memory == 0.5
        server.response = answer(page(rss_bytes=1 << 28))
        clock.now_s += 1
        assert (await one.look()).problem == ""
        assert one.state.load.memory == 0.25


async def test_capacity_is_learnt_while_it_does_well() -> None:
    clock = HandClock()
    with Server(answer(page())) as server:
        one = watch(server.endpoint, clock, metrics_url=server.url)
        for i in range(12):
            server.response = answer(page(accepted=600 * i))
            await one.look()
            clock.now_s += 2
        assert one.state.load.capacity_qps == pytest.approx(300, rel=1e-3)
        assert one.state.load.available == pytest.approx(0, abs=1e-3)


async def test_checks_beside_the_first_one() -> None:
    with Server(answer(page(queue=990))) as server:
        one = watch(server.endpoint, HandClock(), "queue:0.95", metrics_url=server.url)
        for _ in range(3):
            await one.look()
        assert one.state.health is Health.UNHEALTHY
        assert one.state.reason == "queue: 99.0% is above 95.0%"


@pytest.mark.parametrize(
    "config",
    [
        CollectorConfig(),
        CollectorConfig(endpoint=Endpoint("a", 1), health_url="ftp://a"),
        CollectorConfig(endpoint=Endpoint("a", 1), metrics_url="a:8888"),
    ],
)
def test_what_cannot_be_watched_is_told_at_once(config: CollectorConfig) -> None:
    with pytest.raises(CheckInvalid):
        CollectorWatch(config, HandClock(), random.Random(1))


async def test_cpu_and_memory_are_told_over_what_it_may_use() -> None:
    with Server(answer(page(rss_bytes=128 << 20, cpu_s=1))) as server:
        config = CollectorConfig(endpoint=server.endpoint, metrics_url=server.url, memory_bytes=256 << 20, cpus=0.5)
        clock = HandClock()
        one = CollectorWatch(config, clock, random.Random(1), beside=MACHINE)
        await one.look()
        server.response = answer(page(rss_bytes=128 << 20, cpu_s=2))
        clock.now_s += 4
        load = (await one.look()).load
        assert (load.memory, load.cpu) == (0.5, 0.5)


# ---- the watch


async def test_it_goes_on_while_the_collector_goes_and_comes() -> None:
    seen: list[CollectorState] = []
    with Server(None) as server:
        one = watch(server.endpoint, HandClock())
        one.subscribe(seen.append)
        async with watching(one):
            await until(lambda: one.state.health is Health.HEALTHY, "healthy")
            server.close()
            await until(lambda: one.state.health is Health.UNHEALTHY, "unhealthy")
            with Server(None, port=server.endpoint.port):
                await until(lambda: one.state.health is Health.HEALTHY, "healthy again")
    assert [state.health for state in seen][:3] == [Health.HEALTHY, Health.UNHEALTHY, Health.HEALTHY]


async def test_after_the_stop_nobody_looks() -> None:
    with Server(answer(page())) as server:
        one = watch(server.endpoint, HandClock(), metrics_url=server.url)
        async with watching(one):
            await until(lambda: server.requests, "a look")
        await one.stop()
        state = one.state
        server.requests.clear()
        await asyncio.sleep(0.3)
        assert server.requests == []
        assert one.state is state


async def test_a_stop_does_not_wait_for_a_slow_collector() -> None:
    with Server(None) as server:
        one = watch(nowhere(), HandClock(), metrics_url=server.url, health_url=server.url)
        async with watching(one):
            await asyncio.sleep(0.05)
        assert one.state == CollectorState()


async def test_who_has_subscribed_hears_of_changes_and_of_nothing_else() -> None:
    with Server(None) as server:
        one = watch(server.endpoint, HandClock())
        seen: list[CollectorState] = []
        end = one.subscribe(seen.append)
        for _ in range(4):
            await one.look()
        assert [state.health for state in seen] == [Health.HEALTHY], "the second look, and then nothing new"
        end()
    await one.look()
    await one.look()
    assert one.state.health is Health.UNHEALTHY
    assert len(seen) == 1


async def test_a_listener_that_fails_ends_neither_the_watch_nor_the_others() -> None:
    def fails(state: CollectorState) -> None:
        raise SpangateError("no")

    seen: list[CollectorState] = []
    with Server(None) as server, capture_logs() as said:
        one = watch(server.endpoint, HandClock())
        one.subscribe(fails)
        one.subscribe(seen.append)
        await one.look()
        await one.look()
    assert len(seen) == 1
    assert "a listener of the collector's state fails" in [one["event"] for one in said]
