"""An office: a duty that one gateway of many carries out, for as long as it is elected.

    CAMPAIGNING --elected--> LEADING --lease lost, fenced out, or the duty failed--> CAMPAIGNING
         |                      |
         +-------- stop --------+--> resigned

A leader acts only while its lease is good with a margin, and each of its writes carries its fence: one that was
paused and comes back late is refused by the store. Terms never overlap: the next begins when the last has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from sidecar.coord.background import Background
from sidecar.coord.backoff import Backoff
from sidecar.coord.election import Election, Leadership
from sidecar.coord.store import StoreError
from sidecar.telemetry import log

Duty = Callable[[Leadership], Coroutine[None, None, None]]
"""Runs until it is cancelled; an error ends the term, and the office goes on campaigning."""


class Office:
    """Campaigns for ever, and does its duty while it leads. `backoff`: before the next term, after one that failed."""

    def __init__(self, name: str, election: Election, duty: Duty, *, backoff: Backoff) -> None:
        self.name = name
        self.terms = 0
        """How often it has been won."""
        self._election, self._duty, self._backoff = election, duty, backoff
        self._background = Background(f"office {name}")
        self._term: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._failed = False
        self._log = log.logger("fleet").bind(office=name)

    @property
    def leading(self) -> bool:
        """Whether this gateway holds it now."""
        leadership = self._election.leadership
        return leadership is not None and leadership.valid()

    def start(self) -> None:
        """Begins to campaign."""
        self._background.start(self._election.run(self._gained, self._lost))

    async def stop(self) -> None:
        """Leaves the duty, while its writes still count, and resigns: a successor need not wait for a lease to end."""
        await self._end_term()
        await self._background.stop()
        await self._end_term()  # elected again in between

    async def _end_term(self) -> None:
        self._cancel()
        async with self._turn:
            return  # its last words are said

    def _cancel(self) -> None:
        """Once: a second time would cut its last words short."""
        if self._term is not None and not self._term.cancelling():
            self._term.cancel()

    def _gained(self, leadership: Leadership) -> None:
        self.terms += 1
        self._term = asyncio.get_running_loop().create_task(self._serve(leadership))

    def _lost(self) -> None:
        if self._term is not asyncio.current_task():  # that one is resigning
            self._cancel()

    async def _serve(self, leadership: Leadership) -> None:
        async with self._turn:
            if self._failed:
                await asyncio.sleep(self._backoff.next_s())
            self._failed = await self._fails(leadership)
        if self._failed:
            await self._election.resign()

    async def _fails(self, leadership: Leadership) -> bool:
        """Does the duty. True when that went wrong; it never just ends."""
        try:
            await self._duty(leadership)
        except asyncio.CancelledError:
            self._failed = False
            self._backoff.reset()
            raise
        except StoreError as error:
            self._log.warning("a duty could not go on", reason=error.message)
        except Exception:  # noqa: BLE001  another gateway may do better; this one goes on serving
            self._log.exception("a duty failed")
        return True
