"""Waiting on the loop for what must come true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LIMIT_S = 10.0


async def until(holds: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    """Returns once `holds()` is true. AssertionError with `what` when it does not become so in time."""
    end_s = asyncio.get_running_loop().time() + limit_s
    while not holds():
        assert asyncio.get_running_loop().time() < end_s, f"waited {limit_s:.0f} s in vain: {what}"
        await asyncio.sleep(0.005)
