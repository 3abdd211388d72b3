"""The admin service of a fleet in memory, running in a thread: for who talks to it from outside."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sidecar.admin.remote import Remote
from sidecar.admin.service import AdminService
from sidecar.control.desk import Desk
from sidecar.coord.memory import MemoryStore
from tests.control.fleet_store import desk

T = TypeVar("T")
PATIENCE_S = 20.0


class Served(NamedTuple):
    """A gateway's admin service, seen from another thread."""

    path: Path
    desk: Desk
    store: MemoryStore
    service: AdminService
    loop: asyncio.AbstractEventLoop

    def do(self, what: Coroutine[Any, Any, T]) -> T:
        """Run it where the service runs."""
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(PATIENCE_S)


@contextmanager
def served(path: Path, remote: Remote | None = None) -> Iterator[Served]:
    """From start to stop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, loop).result(PATIENCE_S)

    fleet = desk()
    try:
        one, store = run(fleet.__aenter__())
        service = AdminService(one, path, remote=remote)
        run(service.start())
        try:
            yield Served(path, one, store, service, loop)
        finally:
            run(_idle())
            run(service.stop())
            run(fleet.__aexit__(None, None, None))
            run(_idle())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()


async def _idle() -> None:
    """Lets connections of this moment be accepted, or closed: asyncio loses those that are accepted during a close."""
    for _ in range(5):
        await asyncio.sleep(0)
