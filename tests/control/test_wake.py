"""What is woken by changes must be stopped by them no less."""

from __future__ import annotations

import asyncio

from sidecar.control.wake import Wake


async def test_what_comes_together_is_acted_on_once() -> None:
    wake = Wake(gather_s=0.01)
    wake.up("one")
    wake.up("another")
    assert await wake.wait(10)
    assert not await wake.wait(0.01)


async def test_a_cancellation_that_meets_a_change_is_not_lost() -> None:
    """A gateway that was told to stop while another one left the fleet went on waiting for ever."""
    wake = Wake(gather_s=0.0)
    turns = 0

    async def work() -> None:
        nonlocal turns
        while turns < 100:  # so that a lost one shows as a wrong end, not as a test that hangs
            turns += await wake.wait(0.1) or 1

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    wake.up()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
