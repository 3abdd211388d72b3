"""Being woken by changes, but not by each of them: what comes close together is acted on once."""

from __future__ import annotations

import asyncio


class Wake:
    """An event with a pause: `wait` returns `gather_s` after the first call of `up`."""

    def __init__(self, gather_s: float = 0.05) -> None:
        self._gather_s = gather_s
        self._event = asyncio.Event()

    def up(self, *_what: object) -> None:
        """Something has changed. Fit to be a callback."""
        self._event.set()

    async def wait(self, at_most_s: float) -> bool:
        """Whether something has changed; False when the time was up."""
        try:
            async with asyncio.timeout(at_most_s):  # wait_for (3.11) loses a cancellation that meets the event
                await self._event.wait()
        except TimeoutError:
            return False
        await asyncio.sleep(self._gather_s)
        self._event.clear()
        return True
