"""Work that goes on beside its caller."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Background:
    """One coroutine that runs until it is stopped. What it raises goes to the loop's exception handler, at once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._task: asyncio.Task[None] | None = None

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Begins; only once."""
        if self._task is not None:
            work.close()
            raise RuntimeError(f"{self._name} runs already")
        self._task = asyncio.get_running_loop().create_task(work, name=self._name)
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Cancels it and waits for its end. Nothing to do where it has not started, or has ended."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": f"{self._name} ended by an error", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)


async def first(*works: Coroutine[Any, Any, object]) -> None:
    """Runs them together until one ends, cancels the others and waits for them; raises what that one raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if task in done:
            task.result()
