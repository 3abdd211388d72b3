"""The token of a user of etcd: fetched at the first call, and again when it is refused or about to expire.

A `simple` token of etcd lives on with every use, and says nothing of its age: it is renewed when it is refused. A `jwt`
one carries its end (RFC 7519, `exp`), and is renewed before it.

A simple token ends in the index of etcd's log at which it was made, and a member that has not come so far waits for it
(server/auth/simple_token.go). After a restore from a backup that is for ever: no call is refused, all are late.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Awaitable, Callable

import msgspec

from sidecar.clock import Clock
from sidecar.coord.etcd_errors import Refusal

RENEW_AT = 0.8
"""The share of a token's life after which it is renewed."""

DOUBT_AFTER_S = 60.0
"""A token younger than this is not the reason for late answers: an etcd that is slow is not asked for more of them."""

Fetch = Callable[[], Awaitable[str]]


class _Claims(msgspec.Struct):
    exp: float


class Token:
    """What a cluster gave for user and password. Empty before the first call, and where it asks for none."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._text: str | None = None
        self._renew_at_s = float("inf")
        self._fetched_s = 0.0
        self._one = asyncio.Lock()
        """Many calls find out at once; one of them asks, since etcd hashes the password each time."""

    async def current(self, fetch: Fetch) -> str:
        """The token to send; one that is missing or about to expire is fetched first."""
        text = self._text
        if text is None or self._clock.monotonic_s() >= self._renew_at_s:
            return await self.instead_of(text, fetch)
        return text

    async def instead_of(self, refused: str | None, fetch: Fetch) -> str:
        """Another one than that which was refused: fetched, unless somebody else has done so meanwhile."""
        async with self._one:
            if self._text is None or self._text == refused:
                try:
                    text = await fetch()
                except Refusal as refusal:
                    if not refusal.auth_is_off:
                        raise
                    text = ""
                self._text = text
                self._fetched_s = self._clock.monotonic_s()
                self._renew_at_s = self._clock.monotonic_s() + RENEW_AT * life_s(text, time.time())
            return self._text

    def doubt(self) -> None:
        """No member has answered in time: the next call asks for another token, unless this one is new."""
        if self._clock.monotonic_s() - self._fetched_s >= DOUBT_AFTER_S:
            self._text = None


def life_s(token: str, now_s: float) -> float:
    """How long a token is good for as it says itself, at this time of day; without end where it says nothing of use."""
    parts = token.split(".")
    if len(parts) != 3:
        return float("inf")
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=="), type=_Claims)
    except (binascii.Error, msgspec.MsgspecError):
        return float("inf")
    left_s = claims.exp - now_s
    return left_s if left_s > 0 else float("inf")  # this clock is not etcd's: then a refusal says when
