"""The admin's listener."""

from __future__ import annotations

import os

from aiohttp import web

from sidecar.admin.pages import application
from sidecar.errors import PortTaken
from sidecar.model import Endpoint
from sidecar.ports import Gateway
from sidecar.telemetry import log

_STOP_S = 1.0


class AdminServer:
    """Serves the admin pages of one gateway at one address, in the running event loop."""

    def __init__(self, gateway: Gateway, listen: Endpoint) -> None:
        self._listen = listen
        self._runner = web.AppRunner(application(gateway), access_log=None, shutdown_timeout=_STOP_S)

    async def start(self) -> Endpoint:
        """Listen, and say where: with port 0 it is a free one. PortTaken when the address cannot be bound."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._listen.host, self._listen.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise PortTaken(str(self._listen), _reason(error), setting="admin.listen") from None
        bound = Endpoint(self._listen.host, self._runner.addresses[0][1])
        log.logger("admin").info("admin listens", address=str(bound))
        return bound

    async def stop(self) -> None:
        """Close, giving open requests a second. It may be called without a start."""
        await self._runner.cleanup()


def _reason(error: OSError) -> str:
    """A resolver's errors have negative numbers and their own text; asyncio wraps those of the system in a sentence."""
    number = error.errno or 0
    return (os.strerror(number) if number > 0 else error.strerror or str(error)).lower()
