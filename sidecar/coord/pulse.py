"""Telling all who wait that something has changed."""

from __future__ import annotations

import asyncio


class Pulse:
    """Wakes whoever waits now, again and again. What has changed they look up themselves."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def send(self) -> None:
        """Wakes them."""
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self) -> None:
        """Returns at the next `send`."""
        await self._next.wait()
