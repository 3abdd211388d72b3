"""A worker in this process, on the loop of the test, which is its supervisor."""

from __future__ import annotations

import asyncio
import mmap
import os
import socket
import struct
from collections.abc import Sequence
from typing import Self

import msgspec

from sidecar._native.core import WorkerCore
from sidecar._native.ledger import LedgerRow, PageReader, page_bytes
from sidecar.config.schema import BackendConfig, GatewayConfig
from sidecar.model import Endpoint
from sidecar.orders import Applied, Drain, Drained, Report, Start, Use, receive_report, send
from sidecar.policy import shelf
from sidecar.policy.compile import compile_policy
from sidecar.policy.policy import Policy
from sidecar.routing.area import Area
from sidecar.routing.members import StaticMembers
from sidecar.routing.view import View
from sidecar.sampling.plan import SamplingPlan
from sidecar.worker import Worker
from tests.native.backend import Backend
from tests.native.patience import until
from tests.native.peer import Peer, connected

MIB = 1 << 20


def configured(backends: Sequence[Backend | int], **sections: object) -> GatewayConfig:
    """A configuration with these backends; sections by name."""
    ports = [backend if isinstance(backend, int) else backend.port for backend in backends]
    made = tuple(BackendConfig(address=Endpoint("127.0.0.1", port)) for port in ports)
    return msgspec.structs.replace(GatewayConfig(backends=made), **sections)


class Node:
    """The worker; leaving the `async with` holds it to what it owes: nothing in flight, no buffer and no byte kept."""

    def __init__(self, config: GatewayConfig, *, send_buffer: int = 0) -> None:
        self.config = config
        self._send_buffer = send_buffer
        self.peers: list[Peer] = []
        self.reports: list[Report] = []
        self.port = 0
        self._policy: Policy | None = None
        self._writer = shelf.Writer()
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        page_fd, budget_fd = os.memfd_create("page"), os.memfd_create("budget")
        os.ftruncate(page_fd, page_bytes())
        os.ftruncate(budget_fd, mmap.PAGESIZE)
        self.page = PageReader(mmap.mmap(page_fd, page_bytes()))
        self.budget = mmap.mmap(budget_fd, mmap.PAGESIZE)
        struct.pack_into("QQ", self.budget, 0, 0, self.config.limits.memory_bytes)
        with socket.socket() as listener:
            listener.setblocking(False)
            if self._send_buffer:  # which the connections inherit
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            self.port = listener.getsockname()[1]
            send(self._ours, Start(0, "0"), [page_fd, budget_fd, listener.fileno()])
        os.close(page_fd)
        os.close(budget_fd)
        self._ours.setblocking(False)
        self.worker = Worker(self._theirs)
        self._task = asyncio.get_running_loop().create_task(self.worker.run())
        await self.use(self.config)
        await until(lambda: self._up() == len(self.config.backends), "all backends are up")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and not self.ended:
                await self.rest()
        finally:
            for peer in self.peers:
                peer.drop()
            if not self.ended:
                await self.drain(0.2)
            self._writer.close()
            self._ours.close()
            self._theirs.close()

    # ---- orders

    async def use(self, config: GatewayConfig, plan: SamplingPlan | None = None) -> None:
        """Gives it a configuration, and a plan other than that one's, and waits until it goes by them."""
        generation = self._policy.generation + 1 if self._policy else 1
        view = View(generation, tuple(StaticMembers(config.backends).members()))
        areas, sampling = [Area(config.region, view)], plan or SamplingPlan.of(config.sampling)
        self._policy = compile_policy(generation, areas, (), config.routing, sampling, self._policy)
        policy_fd, *table_fds = self._writer.write(self._policy)
        descriptors = [policy_fd, shelf.seal(msgspec.json.encode(config)), *table_fds]
        send(self._ours, Use(generation), descriptors)
        for fd in descriptors:
            os.close(fd)
        await self.reported(Applied(generation))

    async def reported(self, report: Report) -> None:
        """Waits for a report."""

        def heard() -> bool:
            try:
                while (one := receive_report(self._ours)) is not None:
                    self.reports.append(one)
            except BlockingIOError:
                pass
            return report in self.reports

        await until(heard, f"the worker reports {report}")

    def begin_to_drain(self, timeout_s: float) -> None:
        """Tells it to finish."""
        send(self._ours, Drain(timeout_s))

    async def drain(self, timeout_s: float = 5.0) -> None:
        """Tells it to finish, and waits for the end."""
        self.begin_to_drain(timeout_s)
        await self.end()

    async def end(self) -> None:
        """Waits for the end."""
        assert self._task is not None
        await asyncio.wait_for(self._task, 15)

    @property
    def ended(self) -> bool:
        return self._task is not None and self._task.done()

    # ---- what it is

    @property
    def core(self) -> WorkerCore:
        return self.worker._core

    async def peer(self, *, receive_buffer: int = 0) -> Peer:
        """Another connection of a client."""
        peer = await connected(self.port, receive_buffer=receive_buffer)
        self.peers.append(peer)
        return peer

    def rows(self) -> list[LedgerRow]:
        """The ledger; each row adds up."""
        rows = self.page.rows()
        for row in rows:
            ended = row.forwarded + row.sampled_out + row.rejected + sum(row.dropped)
            assert row.received == row.in_flight + ended, row
        return rows

    def books(self) -> dict[str, int]:
        """Sums of the ledger over signals and services, but for zeros."""
        rows = self.rows()
        sums = {
            name: sum(getattr(row, name) for row in rows)
            for name in ("received", "in_flight", "forwarded", "sampled_out", "rejected")
        }
        sums["dropped"] = sum(sum(row.dropped) for row in rows)
        return {name: n for name, n in sums.items() if n}

    async def rest(self) -> None:
        """Waits until nothing is under way; then nothing may be kept."""
        await until(self._at_rest, "the worker is at rest")

    def _at_rest(self) -> bool:
        in_flight = sum(row.in_flight for row in self.rows())
        return self.core.memory()[0] == 0 and self.core.booked() == 0 and in_flight == 0

    def _up(self) -> int:
        return sum(row.up for row in self.page.backends())


__all__ = ["Drained", "Node", "configured"]
