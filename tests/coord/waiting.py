"""Waiting for what must come true, in the loop of the test."""

import asyncio
from collections.abc import Callable

LIMIT_S = 30.0


async def until(holds: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    """Returns once `holds()` is true. AssertionError with `what` when it does not become so in time."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + limit_s
    while not holds():
        assert loop.time() < end_s, f"waited {limit_s:.0f} s in vain: {what}"
        await asyncio.sleep(0.01)
