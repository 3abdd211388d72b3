"""Those who want to be told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, ParamSpec

P = ParamSpec("P")


class Subscribers(Generic[P]):
    """Callbacks, in the order in which they came.

    One that fails is reported to the loop's exception handler, as asyncio does with callbacks of its own: it takes
    neither the others along nor who tells them.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._callbacks: dict[object, Callable[P, None]] = {}

    def add(self, callback: Callable[P, None]) -> Callable[[], None]:
        """From now on. The answer ends it, and may be called twice."""
        ticket = object()
        self._callbacks[ticket] = callback

        def end() -> None:
            self._callbacks.pop(ticket, None)

        return end

    def tell(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Calls them all."""
        for callback in tuple(self._callbacks.values()):
            try:
                callback(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is reported
                context = {"message": f"a subscriber to {self._topic} failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)
