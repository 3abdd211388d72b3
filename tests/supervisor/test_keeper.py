"""The keeper of a worker that does not start, and what it shares with one that does. Real workers: test_workers.py."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from typing import cast

import pytest

from sidecar.policy import shelf
from sidecar.supervisor import keeper
from sidecar.supervisor.keeper import Budget, Keeper, Shelf
from tests.native.patience import until


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Keeper:
    """A keeper whose worker cannot be started: there are no descriptors left."""

    async def spawned() -> tuple[asyncio.subprocess.Process, socket.socket]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(keeper, "_spawned", spawned)
    monkeypatch.setattr(keeper, "BACKOFF_FIRST_S", 0.001)
    return Keeper(0, "0", Budget(1 << 20), [], Shelf())


async def test_a_worker_that_cannot_be_started_is_tried_again(kept: Keeper) -> None:
    kept.start()
    await until(lambda: kept.restarts >= 5, "it is tried again and again")
    assert (kept.alive, kept.pid, kept.generation) == (False, 0, 0)
    kept.drain(1.0)
    await asyncio.wait_for(kept.wait(5.0), 10)


async def test_it_is_tried_again_after_any_number_of_crashes(kept: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "BACKOFF_MAX_S", 0.001)
    kept._crashes = 5000
    kept.start()
    await until(lambda: kept.restarts >= 3, "it is tried again")
    kept.drain(1.0)
    await asyncio.wait_for(kept.wait(5.0), 10)


async def test_a_worker_that_was_abandoned_is_not_started_again(kept: Keeper) -> None:
    kept.start()
    await until(lambda: kept.restarts, "it is tried")
    kept.abandon()
    await asyncio.wait_for(kept.wait(5.0), 10)


async def test_one_that_never_began_has_ended(kept: Keeper) -> None:
    await asyncio.wait_for(kept.wait(5.0), 10)


def test_a_worker_that_has_just_ended_cannot_be_killed_and_that_is_fine(kept: Keeper) -> None:
    class Gone:
        pid = 4711

        def send_signal(self, _: int) -> None:
            raise ProcessLookupError

    kept._process = cast("asyncio.subprocess.Process", Gone())
    kept.kill()
    kept.look()


def test_a_worker_has_time_to_start_and_then_must_show_signs_of_life(
    kept: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = []

    class Silent:
        pid = 4711

        def send_signal(self, number: int) -> None:
            killed.append(number)

    now_s = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    kept._process = cast("asyncio.subprocess.Process", Silent())
    kept._started_s = now_s
    for silent_s, kills in ((keeper.HUNG_S + 1, 0), (keeper.START_S - 1, 0), (keeper.START_S + 1, 1)):
        now_s = 1000.0 + silent_s
        kept.look()
        assert len(killed) == kills
    monkeypatch.setattr(kept, "_beat_s", lambda: 1001.0)
    for silent_s, kills in ((keeper.HUNG_S - 1, 1), (keeper.HUNG_S + 1, 2)):
        now_s = 1001.0 + silent_s
        kept.look()
        assert len(killed) == kills


def test_what_the_workers_hold_together() -> None:
    assert Budget(12345).read() == (0, 12345)


def test_the_shelf_keeps_the_newest_alone() -> None:
    kept, pairs = Shelf(), [(shelf.seal(b"policy"), shelf.seal(b"configuration")) for _ in range(2)]
    kept.put(1, *pairs[0])
    kept.put(2, *pairs[1])
    assert (kept.generation, kept.descriptors) == (2, pairs[1])
    for fd in pairs[0]:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    for fd in pairs[1]:
        os.close(fd)
