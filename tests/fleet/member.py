"""A gateway of a fleet as a process: `spangate run --store etcd`, with or without a collector beside it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import msgspec

from sidecar.control.best import Best
from sidecar.control.topology import Topology
from sidecar.model import Health, Signal
from sidecar.snapshot import FleetStatus, LedgerRow
from tests.coord.cluster import EtcdCluster
from tests.fleet.program import Said, spangate
from tests.harness.gateway import END_S, SPANGATE, Gateway, Settings
from tests.harness.patience import until
from tests.harness.sink import Sink

LEASE_TTL_S = 2
AFFINITY_S = 0.3
QUICK: Settings = {
    "coordination.lease_ttl": f"{LEASE_TTL_S}s",
    "coordination.announce_every": "200ms",
    "coordination.timeout": "1s",
    "collector.check_every": "200ms",
    "collector.rise": 1,
    "collector.fall": 1,
    "routing.affinity_window": f"{AFFINITY_S}s",
}
"""What takes seconds in a real fleet takes tenths here."""


class FleetGateway(Gateway):
    """One member. Its folder `home` outlives it, so that it can be started again from what it has left.

    `alone`: without waiting for the fleet.
    """

    def __init__(
        self,
        etcd: EtcdCluster,
        prefix: str,
        region: str,
        identity: str,
        home: Path,
        *,
        collector: int | None = None,
        settings: Settings | None = None,
        environment: Mapping[str, str] | None = None,
        alone: bool = False,
    ) -> None:
        home.mkdir(exist_ok=True)
        self.region, self.identity = region, identity
        self.home = home
        self.socket = home / "admin.sock"
        self.collector = collector
        endpoints = [f"127.0.0.1:{node.client}" for node in etcd.nodes]
        own: dict[str, object] = {
            "region": region,
            "id": identity,
            "coordination.store": "etcd",
            "coordination.endpoints": endpoints,
            "coordination.prefix": prefix,
            "coordination.state_dir": str(home),
            "admin.socket": str(self.socket),
        }
        if collector is not None:
            own |= {"collector.endpoint": f"127.0.0.1:{collector}", "collector.id": f"{identity}-collector"}
        together = own | dict(QUICK) | dict(settings or {})
        super().__init__([], settings=together, environment=environment, ready=not alone)

    # ---- what it says of the fleet

    @property
    def fleet(self) -> FleetStatus:
        """Its own part."""
        return self.status().fleet

    def topology(self) -> Topology:
        """The whole fleet, as the store has it."""
        return msgspec.json.decode(self.page("/topology")[1], type=Topology)

    def best(self, region: str = "") -> Best:
        """The best collector for it."""
        return msgspec.json.decode(self.page(f"/best?region={region}" if region else "/best")[1], type=Best)

    def explain(self, **question: str) -> dict[str, Any]:
        """Where something would go."""
        asked = "&".join(f"{name}={value}" for name, value in question.items())
        told: dict[str, Any] = json.loads(self.page(f"/explain?{asked}")[1])
        return told

    def services(self) -> dict[str, LedgerRow]:
        """The ledger of traces by service."""
        book = json.loads(self.page("/ledger")[1])
        rows = [msgspec.convert(row, LedgerRow) for row in book["rows"]]
        return {row.service: row for row in rows if row.signal is Signal.TRACES}

    def heard(self) -> bool:
        """Whether it is a member in full: the store is heard, its lease holds, its policy is at the workers."""
        status = self.status()
        behind = any(worker.generation < status.generation for worker in status.workers)
        return status.fleet.connected and status.fleet.lease_valid and not behind

    def sees(self, members: int, down: int = 0) -> bool:
        """Whether the view that it goes by has so many, of which all that are not down can be reached."""
        status = self.status()
        reached = sum(backend.up for backend in status.backends)
        fleet = status.fleet
        return (fleet.members, fleet.members_down) == (members, down) and reached >= members - down

    # ---- what is done to it

    def command(self, *arguments: str) -> Said:
        """`spangate ARGUMENTS --admin-socket` of this gateway."""
        return spangate(*arguments, "--admin-socket", str(self.socket))

    def ask(self, *arguments: str) -> Said:
        """`spangate ARGUMENTS --admin` of this gateway."""
        return spangate(*arguments, "--admin", f"127.0.0.1:{self.admin}")

    def apply(self, text: str, *options: str) -> Said:
        """`spangate config apply` of a text."""
        file = self.home / "applied.yaml"
        file.write_text(text)
        return self.command("config", "apply", str(file), *options)

    def start(self, *, alone: bool = False) -> None:
        """Again, after it has ended."""
        self._ready = not alone
        self.__enter__()

    def kill(self) -> None:
        """As a crash does: the supervisor is gone, and its workers with it."""
        workers = [worker.pid for worker in self.status().workers]
        for pid in (self.process.pid, *workers):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Its supervisor stands still inside the `with`; its workers go on."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            until(lambda: _state(self.process.pid) == "T", "the supervisor has stopped")
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def begin_to_stop(self) -> None:
        """SIGTERM, and the drain has begun: a second signal would end it at once."""
        super().begin_to_stop()
        until(lambda: self.process.poll() is not None or self.events("draining"), "it drains")

    # ---- parts

    def _serves(self) -> bool:
        assert self.process.poll() is None, f"the gateway has ended:\n{self.log_text()}"
        try:
            status = self.status()
        except OSError:
            return False
        served = all(worker.generation for worker in status.workers)
        if not self._ready:
            return served
        collectors = self.collector is None or status.fleet.members > 0
        return served and self.heard() and collectors


@contextmanager
def registered(gateway: FleetGateway, sink: Sink, region: str, identity: str) -> Iterator[Popen[bytes]]:
    """`spangate register` for a collector without a gateway, as a process; it ends with the `with`."""
    command: list[str | Path] = [SPANGATE, "register", "--endpoint", sink.address, "--region", region]
    command += ["--id", identity, "--ttl", str(LEASE_TTL_S), "--admin-socket", gateway.socket]
    process = Popen(command, stdout=DEVNULL, stderr=DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            assert process.wait(END_S) == 0


def healthy(topology: Topology) -> set[str]:
    """The ids of all healthy collectors."""
    return {
        one.record.service.id
        for region in topology.regions
        for one in region.collectors
        if one.health is Health.HEALTHY
    }


def _state(pid: int) -> str:
    """As the kernel has it: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
