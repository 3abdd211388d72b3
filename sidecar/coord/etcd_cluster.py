"""Calls to an etcd cluster: at one member as long as that does, then at the next, with a token, within a deadline.

member i --answers--> member i
         --token refused--> a new token, once more --refused--> StoreDenied
         --unavailable, late, no leader--> member i+1: all further calls; this one too, if it may be repeated
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import TypeVar

from aetcd import rpc
from grpc import StatusCode

from sidecar.clock import Clock
from sidecar.config.schema import CoordinationConfig
from sidecar.coord.etcd_errors import Refusal, answer
from sidecar.coord.etcd_member import Certificates, Member
from sidecar.coord.etcd_token import Token
from sidecar.coord.store import StoreDenied, StoreUnavailable

T = TypeVar("T")

Metadata = tuple[tuple[str, str], ...]
Attempt = Callable[[Member, Metadata, float], Awaitable[T]]
"""One try of a call: at this member, with this metadata, in so many seconds. It raises Refusal."""

HAS_LEADER = ("hasleader", "true")
"""A member without a leader answers at once that it has none, and ends its watches, instead of letting them hang."""


class Repeat(Enum):
    """When a call may be tried again at another member."""

    SAFELY = auto()
    """Always: twice is as good as once."""
    UNSENT = auto()
    """Only if it has not happened for certain. It is a write, and its caller must decide whether to repeat it."""


class Cluster:
    """The members of a cluster, of which one is used. Which one comes first is chance, so that a fleet spreads."""

    def __init__(self, config: CoordinationConfig, clock: Clock, dice: random.Random) -> None:
        self.timeout_s = config.timeout_s
        self._config = config
        self._token = Token(clock)
        self._used = dice.randrange(len(config.endpoints))
        self._members: list[Member] = []
        self._certificates = Certificates()
        self._retired: set[asyncio.Task[None]] = set()
        self._closed = False

    def members(self) -> list[Member]:
        """All of them, in the order of the configuration. StoreUnavailable after close()."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if not self._members:
            self._certificates = Certificates.read(self._config)
            self._members = [Member(address, self._certificates) for address in self._config.endpoints]
        return self._members

    async def call(self, attempt: Attempt[T], repeat: Repeat) -> T:
        """What the attempt gives at the first member that gives it. A StoreError after the last one, or in time."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self.timeout_s
        others = len(self.members())
        while True:
            others -= 1
            member = self.members()[self._used]
            share_s = (end_s - loop.time()) / (others + 1)
            try:
                if others:
                    await member.connect(share_s)
                within_s = share_s if repeat is Repeat.SAFELY else end_s - loop.time()
                return await self._authorized(member, attempt, within_s)
            except Refusal as refusal:
                error = refusal.told_by(member)
                if isinstance(error, StoreUnavailable):
                    self.leave(member)
                    if others and (repeat is Repeat.SAFELY or refusal.nothing_happened):
                        continue
                    if refusal.is_late:
                        self._token.doubt()
                raise error from refusal

    async def at(self, member: Member, attempt: Attempt[T]) -> T:
        """What the attempt gives at this member. Raises Refusal."""
        return await self._authorized(member, attempt, self.timeout_s)

    def leave(self, member: Member) -> None:
        """It does not do: further calls go to the next one. Certificates that were renewed meanwhile are taken up."""
        if self._closed or member is not self._members[self._used]:
            return
        self._used = (self._used + 1) % len(self._members)
        try:
            now = Certificates.read(self._config)
        except StoreDenied:
            return  # in the middle of their renewal; the next failure looks again
        if now != self._certificates:
            for old in self._members:
                self._retire(old)
            self._certificates = now
            self._members = [Member(address, now) for address in self._config.endpoints]

    async def close(self) -> None:
        """Ends all calls and connections."""
        self._closed = True
        await asyncio.gather(*(member.close() for member in self._members), *self._retired)

    def _retire(self, member: Member) -> None:
        closing = asyncio.get_running_loop().create_task(member.close(self.timeout_s))
        self._retired.add(closing)
        closing.add_done_callback(self._retired.discard)

    async def _authorized(self, member: Member, attempt: Attempt[T], within_s: float) -> T:
        """The attempt with a token, where there is a user; once more with a new one when that is refused."""
        if not self._config.username:
            return await attempt(member, (HAS_LEADER,), within_s)
        loop = asyncio.get_running_loop()
        end_s = loop.time() + within_s

        async def fetch() -> str:
            return await self._authenticate(member, end_s - loop.time())

        try:
            async with asyncio.timeout_at(end_s):  # others may be at it for longer
                token = await self._token.current(fetch)
            try:
                return await attempt(member, _metadata(token), end_s - loop.time())
            except Refusal as refusal:
                if not refusal.is_of_the_token:
                    raise
            async with asyncio.timeout_at(end_s):
                token = await self._token.instead_of(token, fetch)
        except TimeoutError:
            raise Refusal(StatusCode.DEADLINE_EXCEEDED, "it gives no token") from None
        return await attempt(member, _metadata(token), end_s - loop.time())

    async def _authenticate(self, member: Member, within_s: float) -> str:
        secret = self._config.password.reveal() if self._config.password else ""
        request = rpc.AuthenticateRequest(name=self._config.username, password=secret)
        answered = await answer(member.auth.Authenticate(request, timeout=within_s, metadata=(HAS_LEADER,)))
        token: str = answered.token
        return token


def _metadata(token: str) -> Metadata:
    return (HAS_LEADER, ("token", token)) if token else (HAS_LEADER,)
