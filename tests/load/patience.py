"""Waiting in a loop for what must come true."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from tests.harness.patience import LIMIT_S


async def until(holds: Callable[[], object], what: str) -> None:
    """Returns once `holds()` is true. AssertionError with `what` when it does not become so in time."""
    end_s = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end_s, f"waited {LIMIT_S:.0f} s in vain: {what}"
        await asyncio.sleep(0.01)
