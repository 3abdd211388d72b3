"""The delivery of one worker: the set of backends, their connections, and the verdicts on failed calls."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Final

import msgspec

from sidecar._native.backends import Backends
from sidecar._native.core import WorkerCore
from sidecar._native.engine import BACKEND_GOAWAY, BACKEND_LOST, BACKEND_REFUSED, BACKEND_UP, Engine
from sidecar._native.outbox import Outbox
from sidecar.clock import Clock
from sidecar.config.schema import BackendConfig, GatewayConfig
from sidecar.deliver.breaker import Breaker
from sidecar.deliver.connector import Connector
from sidecar.deliver.failure import Failure
from sidecar.deliver.verdict import Act, Verdict, judge
from sidecar.errors import GrpcStatus
from sidecar.model import Ack, Compression, Endpoint
from sidecar.routing.view import key_of_address
from sidecar.telemetry import log

UNMERGED_S: Final = 60.0
"""How long the parts of a backend travel alone after it has refused something out of a merged batch."""
SLOTS: Final = 1152
"""Backends at a time: as many as there can be owners, and 128 that leave (BACKEND_ROWS of the native `_ledger`)."""
NOWHERE: Final = SLOTS
"""From here on are the slots of what stands in for owners that wait: never up, so that next owners get their items."""


class _Backend:
    """What this room keeps of a backend."""

    def __init__(self, slot: int, config: BackendConfig, connector: Connector) -> None:
        self.slot = slot
        self.config = config
        self.connector = connector
        self.breaker = Breaker()
        self.connected = False
        self.good_calls = 0


class Delivery:
    """Backends by address. Not thread-safe: it lives on the worker's loop."""

    def __init__(self, core: WorkerCore, engine: Engine, user_agent: str, clock: Clock, dice: random.Random) -> None:
        self._backends = Backends(core)
        self._outbox = Outbox(core)
        self._engine = engine
        self._user_agent = user_agent
        self._clock = clock
        self._dice = dice
        self._by_address: dict[Endpoint, _Backend] = {}
        self._by_slot: dict[int, _Backend] = {}
        self._next_slot = 0
        self._owners: tuple[Endpoint, ...] = ()
        self._waiting = 0
        """Owners that wait for a slot."""
        self._standing_in: dict[int, Endpoint] = {}
        self._config = GatewayConfig()
        self._ending = False
        self._log = log.logger("deliver")

    # ---- members

    def use(self, config: GatewayConfig, owners: Sequence[Endpoint]) -> None:
        """From now on `owners[i]` is owner i. New ones are connected, others finish what they have and leave.

        A backend whose headers, compression or limits have changed is replaced as a whole. Where those that are leaving
        still hold the slots, changed ones stay as they are and new ones are stood in for, until slots are free.
        """
        self._config, self._owners = config, tuple(owners)
        self._bring_in()
        for address in set(self._by_address) - set(owners):
            self._by_address.pop(address).connector.close()
        if self._waiting:
            self._log.warning("too many backends have changed at once: some wait for others to leave", n=self._waiting)

    def _bring_in(self) -> None:
        configured: Mapping[Endpoint, BackendConfig] = {backend.address: backend for backend in self._config.backends}
        slots = []
        self._waiting = 0
        for address in self._owners:
            said = configured.get(address) or BackendConfig(address=address)  # a registered one has no settings here
            wanted = msgspec.structs.replace(said, compression=self._config.compression_of(said))
            known = self._by_address.get(address)
            if known is None or known.config != wanted:
                if len(self._by_slot) < SLOTS:
                    known = self._add(wanted)
                else:
                    self._waiting += 1
            slots.append(known.slot if known else self._stand_in(wanted))
        self._backends.own(slots)

    def _add(self, config: BackendConfig) -> _Backend:
        former = self._by_address.get(config.address)
        if former is not None:
            former.connector.close()
        slot = self._free_slot()
        self._add_native(slot, key_of_address(config.address), config)
        backend = _Backend(slot, config, Connector(self._engine, slot, config.address, self._dice))
        self._by_address[config.address] = backend
        self._by_slot[slot] = backend
        backend.connector.dial()
        return backend

    def _stand_in(self, config: BackendConfig) -> int:
        """The slot of a backend that gathers what comes for one that cannot be connected yet."""
        for slot, address in self._standing_in.items():
            if address == config.address:
                return slot
        slot = next(slot for slot in count(NOWHERE) if slot not in self._standing_in)
        self._add_native(slot, 0, config)
        self._standing_in[slot] = config.address
        return slot

    def _free_slot(self) -> int:
        """One that has been free for long: whoever reads the figures has seen the last of its former owner."""
        turn = range(self._next_slot, self._next_slot + SLOTS)
        slot = next(slot % SLOTS for slot in turn if slot % SLOTS not in self._by_slot)
        self._next_slot = slot + 1
        return slot

    def _add_native(self, slot: int, key: int, config: BackendConfig) -> None:
        self._backends.add(
            slot,
            key,
            self._headers(config),
            gzip=config.compression is Compression.GZIP,
            max_in_flight=self._config.delivery.max_in_flight,
            queue_limit_bytes=self._config.limits.backend_queue_bytes,
            message_limit_bytes=config.max_message_bytes,
        )

    def _headers(self, config: BackendConfig) -> list[tuple[bytes, bytes]]:
        """The request headers in the order that gRPC's own clients use; the third is filled in by each call."""
        fixed = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", ""),
            (":authority", str(config.address)),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", self._user_agent),
        ]
        if config.compression is Compression.GZIP:
            fixed.append(("grpc-encoding", "gzip"))
        own = [(name.lower(), value.reveal()) for name, value in config.headers.items()]
        return [(name.encode(), value.encode()) for name, value in fixed + own]

    # ---- a turn

    def attend(self) -> None:
        """Deals with what the engine left to Python in this turn: connections that changed, calls that failed."""
        for slot, kind, error in self._engine.events():
            self._connection_changed(slot, kind, error)
        while (told := self._outbox.failure()) is not None:
            self._failed(Failure(*told))

    def tick(self) -> None:
        """Four times a second: breakers, backends that have left, figures."""
        now_s = self._clock.monotonic_s()
        none_up = not self._backends.any_up()
        for backend in self._by_slot.values():
            self._count_good(backend)
            over = backend.breaker.tick(now_s) or (none_up and backend.breaker.try_again())
            if over and backend.connected:
                self._backends.set_up(backend.slot, True)
        for slot in self._backends.rested():
            self._engine.disconnect(slot)
            if self._backends.removable(slot):
                self._backends.remove(slot)
                owner = self._standing_in.pop(slot, None)
                if owner is None:
                    del self._by_slot[slot]
        if self._waiting and len(self._by_slot) < SLOTS:
            self._bring_in()
        self._backends.publish()

    def _connection_changed(self, slot: int, kind: int, error: int) -> None:
        backend = self._by_slot.get(slot)
        if backend is None:
            return
        if kind == BACKEND_UP:
            backend.breaker.try_again()
            backend.connected = True
            backend.connector.up()
        elif kind == BACKEND_LOST:
            backend.connected = False
            backend.connector.lost(os.strerror(error).lower() if error else "it was closed, or fell silent")
        elif kind == BACKEND_GOAWAY:
            backend.connector.lost()
        elif kind == BACKEND_REFUSED:
            backend.connected = False
            backend.connector.refused(os.strerror(error).lower() if error else "nobody speaks HTTP/2 there")

    # ---- failures

    def _failed(self, failure: Failure) -> None:
        queued = self._config.delivery.ack is Ack.QUEUED
        other_up = self._backends.other_up(failure.slot)
        verdict = judge(failure, self._config.delivery, other_up=other_up, queued=queued, dice=self._dice)
        if self._ending and verdict.act is not Act.ACCEPT:
            verdict = Verdict(Act.GIVE_UP, 1.0, words="the gateway is shutting down")
        backend = self._by_slot.get(failure.slot)
        if backend is not None:
            self._note(backend, failure, verdict)
            if verdict.blame and other_up:
                self._blame(backend)
        if verdict.pause_s:
            self._outbox.pause(failure.slot, verdict.pause_s)
        if verdict.unmerge:
            self._outbox.unmerge(failure.slot, UNMERGED_S)
        self._carry_out(verdict)

    def _carry_out(self, verdict: Verdict) -> None:
        words = verdict.words.encode()[:500]
        match verdict.act:
            case Act.ACCEPT if verdict.rejected:
                self._outbox.accept_partly(verdict.rejected, words)
            case Act.ACCEPT:
                self._outbox.accept(words if verdict.status is GrpcStatus.OK else b"")
            case Act.FORGET:
                self._outbox.forget()
            case Act.RETRY:
                self._outbox.retry(verdict.delay_s)
            case Act.REROUTE:
                self._outbox.reroute()
            case Act.SCATTER:
                self._outbox.scatter()
            case Act.REFUSE:
                self._outbox.refuse(verdict.status, words)
            case Act.GIVE_UP:
                self._outbox.give_up(round(verdict.delay_s * 1000), words)

    def _count_good(self, backend: _Backend) -> None:
        """Good calls are settled natively: the breaker learns of them here."""
        good = self._backends.good_calls(backend.slot)
        if good != backend.good_calls:
            backend.good_calls = good
            backend.breaker.succeeded()

    def _note(self, backend: _Backend, failure: Failure, verdict: Verdict) -> None:
        if verdict.act is Act.ACCEPT:
            backend.breaker.succeeded()
            if verdict.words or verdict.rejected:
                self._log.warning(
                    "a backend took a call in part",
                    backend=backend.config.name,
                    rejected=verdict.rejected,
                    parts=failure.parts,
                    said=verdict.words,
                )
            return
        self._log.warning(
            "a call to a backend came to an end too late"
            if verdict.act is Act.FORGET
            else "a call to a backend failed",
            backend=backend.config.name,
            status=failure.status.name,
            said=failure.words,
            parts=failure.parts,
            items=failure.items,
            tries=failure.tries,
            then=verdict.act.name.lower(),
        )

    def _blame(self, backend: _Backend) -> None:
        """Counts for the breaker what says that the backend is not well."""
        self._count_good(backend)
        hold_s = backend.breaker.failed(self._clock.monotonic_s())
        if hold_s is not None:
            self._backends.set_up(backend.slot, False)
            self._log.warning("a backend is passed over", backend=backend.config.name, for_s=hold_s)

    # ---- the end

    def any_up(self) -> bool:
        """Whether any backend takes parts."""
        return self._backends.any_up()

    def queued_bytes(self) -> int:
        """What is waiting or under way."""
        return self._backends.queued_bytes()

    def abandon(self) -> int:
        """Out of time: gives everything unsent up and closes the connections; the items that were unsent.

        Calls that end after this are given up too.
        """
        self._ending = True
        items = self._outbox.abandon()
        for backend in self._by_slot.values():
            backend.connector.close()
            self._engine.disconnect(backend.slot)
        return items

    def close(self) -> None:
        """Dials no more."""
        for backend in self._by_slot.values():
            backend.connector.close()
