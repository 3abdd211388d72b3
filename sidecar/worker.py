"""A worker: one process of the data plane. Started by the supervisor with `python -m sidecar.worker FD`.

    STARTING --Start, Use--> SERVING --Drain, or the supervisor gone for GRACE_S--> DRAINING --> ended

It imports neither grpc nor the coordination. What it is told comes over the descriptor FD (see orders.py), what it
counts stands in its page of shared memory.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Sequence

import msgspec
import uvloop

from sidecar._native.core import WorkerCore
from sidecar._native.engine import Engine
from sidecar._native.ledger import page_bytes
from sidecar._native.route import Routing
from sidecar.clock import SystemClock
from sidecar.config.schema import GatewayConfig
from sidecar.deliver.delivery import Delivery
from sidecar.errors import SpangateError
from sidecar.model import Ack, LogFormat, LogLevel
from sidecar.orders import Applied, Drain, Drained, Refused, Start, Use, receive_order, send
from sidecar.pipeline.ingress import Ingress
from sidecar.pipeline.sampler import Sampler
from sidecar.policy import shelf
from sidecar.policy.handover import take_over
from sidecar.policy.policy import Policy
from sidecar.telemetry import log

BEAT_S = 0.25
"""Between heartbeats: a worker that misses many of them hangs."""
GRACE_S = 10.0
"""How long a worker serves on without its supervisor before it drains."""
SETTLE_S = 0.05
"""How often a draining worker looks whether it is done."""
NEVER_S = 10.0 * 365 * 86400
MARGIN_S = 0.05
"""Of a client's deadline, kept for the way back of the answer."""
STALL_S = 2.0
"""Open calls and silence for so long: the backend is asked for a sign of life, and has as long to give it."""
RETRY_AFTER_S = 1.0


class Worker:
    """The state of the process; it lives on one event loop."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._draining = False
        self._policy: Policy | None = None
        self._sampler: Sampler | None = None
        self._policies = shelf.Reader()
        self._config, self._text = GatewayConfig(), b""
        self._index = 0
        self._log = log.logger("worker")

    async def run(self) -> None:
        """Until it has drained."""
        start, descriptors = receive_order(self._control)
        if not isinstance(start, Start):
            return
        self._begin(start, descriptors)
        self._control.setblocking(False)
        self._loop.add_reader(self._control.fileno(), self._obey)
        self._obey()
        await self._done.wait()

    def _begin(self, start: Start, descriptors: list[int]) -> None:
        page_fd, budget_fd, *self._listeners = descriptors
        self._index = start.index
        self._core = WorkerCore(mmap.mmap(page_fd, page_bytes()), mmap.mmap(budget_fd, mmap.PAGESIZE))
        os.close(page_fd)
        os.close(budget_fd)
        self._engine = Engine(self._core)
        dice = random.Random()
        self._delivery = Delivery(self._core, self._engine, f"spangate/{start.version}", SystemClock(), dice)
        self._beat()

    # ---- orders

    def _obey(self) -> None:
        while not self._done.is_set():
            try:
                order, descriptors = receive_order(self._control)
            except BlockingIOError:
                return
            if order is None:
                self._orphaned()
                return
            if isinstance(order, Use):
                self._use(order, *descriptors)
            elif isinstance(order, Drain):
                self._drain(order.timeout_s)

    def _orphaned(self) -> None:
        """The supervisor has died: serve on for a while (a new one binds beside us), then go."""
        self._loop.remove_reader(self._control.fileno())
        if not self._draining:
            self._loop.call_later(GRACE_S, self._drain, self._config.shutdown.drain_timeout_s)
            self._log.error("the supervisor has gone, the worker drains soon", after_s=GRACE_S)

    def _use(self, order: Use, policy_fd: int, config_fd: int, *table_fds: int) -> None:
        try:
            policy = self._policies.read(policy_fd, table_fds)
            size = os.fstat(config_fd).st_size
            text = os.pread(config_fd, size, 0)
            config = self._config if text == self._text else msgspec.json.decode(text, type=GatewayConfig)
        except (SpangateError, msgspec.MsgspecError) as error:
            send(self._control, Refused(order.generation, str(error)))
            return
        finally:
            for fd in (policy_fd, config_fd, *table_fds):
                os.close(fd)
        log.configure(config.log.level, config.log.format)
        self._configure(config)
        self._delivery.use(config, [member.address for member in policy.members])
        sampler = Sampler(policy.sampling, config.workers, self._sampler)
        if self._policy is None:
            self._ingress = Ingress(self._engine, sampler.table, policy.routing(self._index), self._attend)
            self._ingress.start(self._loop)
            for listener in self._listeners:
                self._engine.listen(listener)
        else:
            routing = take_over(
                policy,
                self._policy,
                self._ingress.routing,
                now_ns=time.monotonic_ns(),
                unix_ns=time.time_ns(),
                turn=self._index,
            )
            self._ingress.use(sampler.table, routing)
        self._policy, self._sampler, self._config, self._text = policy, sampler, config, text
        self._decide(policy, sampler, self._ingress.routing)
        self._ingress.turn()
        self._core.beat(policy.generation)
        send(self._control, Applied(policy.generation))

    def _decide(self, policy: Policy, sampler: Sampler, routing: Routing) -> None:
        """How services are sampled and where they go: those known now, and each new one before its first item."""

        def meet(first: int, names: Sequence[str]) -> None:
            sampler.meet(first, names)
            for service, area in enumerate(policy.areas_of(names), first):
                if area:
                    routing.set_area(service, area)

        meet(0, self._core.services())
        self._core.on_services(meet)

    def _configure(self, config: GatewayConfig) -> None:
        delivery, batch, limits, receiver = config.delivery, config.batch, config.limits, config.receiver
        self._core.configure(
            message_limit_bytes=limits.message_bytes,
            partial_limit_bytes=limits.memory_bytes // 2 // config.workers,
            batch_limit_bytes=batch.max_bytes,
            batch_limit_items=batch.max_items,
            items_limit=-(-limits.items // config.workers),
            batch_wait_s=batch.max_wait_s,
            pacing_s=batch.pacing_s,
            max_wait_s=delivery.max_wait_s,
            margin_s=MARGIN_S,
            queue_age_s=delivery.queued_for_s,
            soft_ratio=limits.soft_memory_ratio,
            queued_ack=delivery.ack is Ack.QUEUED,
            may_duplicate=delivery.may_duplicate_on_timeout,
            max_streams=limits.streams_per_connection,
            max_connections=max(limits.connections // config.workers, 1),
            max_age_s=receiver.connection_max_age_s or NEVER_S,
            max_age_grace_s=receiver.connection_max_age_grace_s,
            keepalive_s=receiver.keepalive_time_s or NEVER_S,
            keepalive_timeout_s=receiver.keepalive_timeout_s,
            stall_s=STALL_S,
            retry_after_s=RETRY_AFTER_S,
        )

    # ---- time

    def _attend(self) -> None:
        self._delivery.attend()
        self._engine.serve(not self._draining and self._delivery.any_up())

    def _beat(self) -> None:
        self._delivery.tick()
        self._core.beat(self._policy.generation if self._policy else 0)
        self._loop.call_later(BEAT_S, self._beat)

    # ---- the end

    def _drain(self, timeout_s: float) -> None:
        """GOAWAY to all clients; what they still send is answered; ends when nothing is left or time is up."""
        if self._draining:
            return
        self._draining = True
        self._engine.drain()
        if self._policy is None:
            self._done.set()
            return
        self._ingress.turn()
        self._settled(self._loop.time() + timeout_s)

    def _settled(self, deadline_s: float) -> None:
        done = self._engine.connections() == 0 and self._delivery.queued_bytes() == 0
        if not done and self._loop.time() < deadline_s:
            self._loop.call_later(SETTLE_S, self._settled, deadline_s)
            return
        unsent = 0
        if not done:
            unsent = self._delivery.abandon()
            self._log.warning("the drain ran out of time", unsent_items=unsent)
            self._ingress.turn()
        self._ingress.stop(self._loop)
        self._delivery.close()
        self._engine.close()
        self._core.beat(self._policy.generation if self._policy else 0)
        try:
            send(self._control, Drained(unsent))
        except OSError:  # the supervisor is gone: nobody wants to know
            self._log.info("drained without a supervisor")
        self._done.set()


def main() -> int:
    """The process. Signals are the supervisor's business: Ctrl-C reaches the whole group, and it gives the order."""
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    log.configure(LogLevel.INFO, LogFormat.TEXT)

    async def live() -> None:
        await Worker(control).run()

    uvloop.run(live())
    return 0


if __name__ == "__main__":
    sys.exit(main())
