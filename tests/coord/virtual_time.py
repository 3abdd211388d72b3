"""Time that passes when there is nothing else to do: an hour of leases in a moment, the same way every time."""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")


class _Impatient(selectors.DefaultSelector):
    """Instead of waiting for a timer it moves the time on."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(20.0)  # nobody waits for a time: for a thread, or for ever
        ready = super().select(0)
        if not ready:
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop of such time, which is a Clock as well."""

    def __init__(self) -> None:
        self._impatient = _Impatient()
        super().__init__(self._impatient)

    def time(self) -> float:
        return self._impatient.now_s

    def monotonic_s(self) -> float:
        return self._impatient.now_s

    def monotonic_ns(self) -> int:
        return round(self._impatient.now_s * 1e9)

    def stall(self, seconds: float) -> None:
        """The process was stopped so long, with all its timers."""
        self._impatient.now_s += seconds


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test that runs in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


def clock() -> VirtualLoop:
    """The clock of the virtual test that runs now."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop
