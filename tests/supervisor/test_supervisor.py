"""What cannot be seen from outside. The whole life of a gateway: test_end.py, test_reload.py, test_workers.py."""

from __future__ import annotations

import asyncio

from sidecar.config.load import Sources
from sidecar.config.schema import GatewayConfig
from sidecar.errors import Exit
from sidecar.supervisor.supervisor import Supervisor


async def test_a_task_that_fails_ends_the_gateway_and_shows_in_the_exit_code() -> None:
    async def fails() -> None:
        raise RuntimeError("nobody foresaw this")

    supervisor = Supervisor(GatewayConfig(), Sources())
    supervisor._task(fails())
    await asyncio.wait_for(supervisor._stop.wait(), 10)
    assert supervisor._code is Exit.INTERNAL
    assert not supervisor._tasks


async def test_a_task_that_ends_or_is_cancelled_ends_nothing() -> None:
    async def ends() -> None:
        return

    supervisor = Supervisor(GatewayConfig(), Sources())
    supervisor._task(ends())
    supervisor._task(asyncio.Event().wait())  # type: ignore[arg-type]
    [*tasks] = supervisor._tasks
    tasks[0].cancel()
    tasks[1].cancel()
    await asyncio.wait(tasks)
    assert not supervisor._stop.is_set()
    assert supervisor._code is Exit.OK
