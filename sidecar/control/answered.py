"""Asking the store on behalf of somebody who waits: he is told soon that it is away, and what that means."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from sidecar.coord.store import StoreUnavailable

T = TypeVar("T")

PATIENCE_S = 2.0
"""Far more than a store needs that is well, and less than what people take for a command that hangs."""
HINT = (
    "gateways go on by what they have, and nothing has been changed; "
    "see `spangate status`, and the store itself (`etcdctl endpoint status`), then try again"
)


async def answered(question: Awaitable[T]) -> T:
    """What the store answers to a read. StoreUnavailable when it does not do so in PATIENCE_S."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await question
    except TimeoutError as error:
        raise StoreUnavailable(f"the store is away: it gives no answer within {PATIENCE_S:g} s", HINT) from error
    except StoreUnavailable as error:
        raise StoreUnavailable(f"the store is away: {error.message}", HINT) from error
