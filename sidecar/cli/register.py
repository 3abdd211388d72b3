"""`spangate register`: a collector that has no gateway beside it, registered for as long as this runs.

registering --answer--> registered --every third of the ttl, or when it changes--> registered
                           |    |
                           |    +-- no gateway, no store --> tried again; the lease runs on, then ends
                           +-- SIGTERM, Ctrl-C --> deregistered
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from sidecar.cli.fleet import Fleet
from sidecar.cli.way import Given, way_options
from sidecar.errors import Exit, Refused, SpangateError

if TYPE_CHECKING:
    from sidecar.config.kinds import Kind
    from sidecar.config.schema import CollectorConfig
    from sidecar.load.collector import CollectorState

EPILOG = """
It looks at the collector, tells the fleet how it does, and takes it out of the registry when told to stop. When this
process dies the fleet forgets the collector after the time to live.

\b
Examples:
  spangate register --endpoint 10.0.0.7:4317 --region eu
  spangate register --endpoint otelcol:4317 --region eu --health-url http://otelcol:13133/ \\
      --metrics-url http://otelcol:8888/metrics --capacity-qps 50000
"""
RETRY_S = 1.0


def _check() -> Kind:
    from sidecar.config.check_text import HealthCheck

    return HealthCheck()


def _url() -> Kind:
    from sidecar.config.kinds import Url

    return Url()


def _size() -> Kind:
    from sidecar.config.kinds import Size

    return Size()


def _read(kind: Callable[[], Kind]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Reads an option, or each of several, as the configuration does. An empty one is what is not given.

    The kind is made when there is something to read: `--help` has no need of it.
    """

    def read(_context: click.Context, _option: click.Parameter, given: str | tuple[str, ...]) -> Any:
        if not given:
            return given
        from sidecar.config.kinds import Unreadable

        try:
            return tuple(map(kind().read, given)) if isinstance(given, tuple) else kind().read(given)
        except Unreadable as error:
            raise click.BadParameter(f"{error.message}{f' ({error.hint})' if error.hint else ''}") from None

    return read


@click.command("register", epilog=EPILOG)
@click.option("--endpoint", required=True, metavar="HOST:PORT", help="Where gateways reach its OTLP/gRPC.")
@click.option("--region", required=True, metavar="REGION", help="The region it belongs to.")
@click.option("--id", "identity", default="", metavar="ID", help="Its id in the fleet. [default: the endpoint]")
@click.option(
    "--health-url",
    default="",
    metavar="CHECK",
    callback=_read(_check),
    help="Answers 200 while it is well, or tcp, grpc://HOST:PORT. [default: a connection]",
)
@click.option(
    "--check",
    "checks",
    multiple=True,
    metavar="CHECK",
    callback=_read(_check),
    help="What must hold beside that, as queue:0.95; may be repeated.",
)
@click.option(
    "--metrics-url",
    default="",
    metavar="URL",
    callback=_read(_url),
    help="Its own metrics, from which its load is read.",
)
@click.option(
    "--cpus", type=click.FloatRange(min=0), default=0.0, metavar="N", help="CPUs it may use. [default: this machine's]"
)
@click.option(
    "--memory", default="0", metavar="SIZE", callback=_read(_size), help="Memory it may use. [default: this machine's]"
)
@click.option(
    "--capacity-qps", type=click.FloatRange(min=0), default=0.0, metavar="N", help="Spans per second. [default: learnt]"
)
@click.option(
    "--weight", type=click.FloatRange(min=0, max=1000), default=1.0, metavar="N", show_default=True, help="Its share."
)
@click.option(
    "--ttl",
    "ttl_s",
    type=click.FloatRange(1, 3600),
    metavar="SECONDS",
    default=15.0,
    show_default=True,
    help="How long the fleet remembers it when this dies.",
)
@way_options
def command(
    *,
    endpoint: str,
    region: str,
    identity: str,
    health_url: str,
    checks: tuple[str, ...],
    metrics_url: str,
    cpus: float,
    memory: int,
    capacity_qps: float,
    weight: float,
    ttl_s: float,
    given: Given,
) -> int:
    """Register a collector that has no gateway beside it, for as long as this runs."""
    from sidecar.config.schema import CollectorConfig
    from sidecar.model import Endpoint, LogFormat, LogLevel
    from sidecar.telemetry import log

    try:
        address = Endpoint.parse(endpoint)
    except ValueError as error:
        raise click.BadParameter(f"{endpoint!r} {error}", param_hint="--endpoint") from None
    log.configure(LogLevel.INFO, LogFormat.TEXT)
    config = CollectorConfig(
        endpoint=address,
        id=identity or endpoint,
        health_url=health_url,
        checks=checks,
        metrics_url=metrics_url,
        cpus=cpus,
        memory_bytes=memory,
        capacity_qps=capacity_qps,
        weight=weight,
    )
    with Fleet(given) as gateway:
        return asyncio.run(Registrar(gateway, config, region, ttl_s).run())


class Registrar:
    """Keeps one collector registered."""

    def __init__(self, gateway: Fleet, config: CollectorConfig, region: str, ttl_s: float) -> None:
        from sidecar.telemetry import log

        self._gateway, self._config, self._region, self._ttl_s = gateway, config, region, ttl_s
        self._lease_id = 0
        self._told: CollectorState
        self._due = asyncio.Event()
        self._stop = asyncio.Event()
        self._log = log.logger("register")

    async def run(self) -> int:
        """Until told to stop. What goes wrong at the first try is raised; later it is tried again."""
        from sidecar.clock import SystemClock
        from sidecar.load.collector import CollectorWatch

        watch = CollectorWatch(self._config, SystemClock(), random.Random())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._told_to_stop)
        self._told = await watch.look()
        await self._register()
        watch.subscribe(self._seen)
        await watch.start()
        try:
            while not self._stop.is_set():
                await self._renew()
        finally:
            await watch.stop()
        await self._deregister()
        return Exit.OK

    def _seen(self, state: CollectorState) -> None:
        """A change of health is told at once; one of load only when it is worth a write."""
        from sidecar.control.region import load_differs

        told = self._told
        if (state.health, state.reason) != (told.health, told.reason) or load_differs(state.load, told.load):
            self._told = state
            self._due.set()

    def _told_to_stop(self) -> None:
        self._stop.set()
        self._due.set()

    async def _renew(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._due.wait(), self._ttl_s / 3)
        if self._stop.is_set():
            return
        self._due.clear()
        try:
            await self._register()
        except Refused:
            raise
        except SpangateError as error:
            self._log.warning("the registration cannot be renewed", reason=error.message)
            await asyncio.sleep(RETRY_S)
            self._due.set()

    async def _register(self) -> None:
        from sidecar.admin.v1 import admin_pb2 as pb

        state = self._told
        load = state.load
        collector = pb.Collector(
            id=self._config.id,
            region=self._region,
            endpoint=str(self._config.endpoint),
            weight=self._config.weight,
            health=str(state.health),
            reason=state.reason,
            load=pb.CollectorLoad(
                cpu=load.cpu,
                memory=load.memory,
                queue=load.queue,
                qps=load.qps,
                bytes_per_s=load.bytes_per_s,
                latency_ms=load.latency_ms,
                error_rate=load.error_rate,
                capacity_qps=load.capacity_qps,
            ),
        )
        request = pb.RegisterCollectorRequest(collector=collector, ttl_s=self._ttl_s, lease_id=self._lease_id)
        answer = await asyncio.to_thread(
            self._gateway.call, "RegisterCollector", request, pb.RegisterCollectorResponse, self._ttl_s / 3
        )
        self._lease_id = answer.lease_id
        if answer.anew:
            self._log.info("the collector is registered", id=self._config.id, region=self._region)

    async def _deregister(self) -> None:
        from sidecar.admin.v1 import admin_pb2 as pb

        request = pb.DeregisterCollectorRequest(region=self._region, id=self._config.id, lease_id=self._lease_id)
        try:
            await asyncio.to_thread(
                self._gateway.call, "DeregisterCollector", request, pb.DeregisterCollectorResponse, self._ttl_s / 3
            )
        except SpangateError as error:
            self._log.warning("the registration is left to expire", reason=error.message, ttl_s=self._ttl_s)
            return
        self._log.info("the collector is registered no longer", id=self._config.id)
