"""A gateway that answers, for commands that ask one."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from sidecar.admin.server import AdminServer
from sidecar.model import Endpoint
from tests.admin.fake_fleet import FakeFleet
from tests.admin.fake_gateway import FakeGateway


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def fleet() -> FakeFleet:
    return FakeFleet()


@pytest.fixture
def admin(gateway: FakeGateway, fleet: FakeFleet) -> Iterator[Endpoint]:
    """Where the admin of a fake gateway listens; it runs in a thread."""
    loop = asyncio.new_event_loop()
    server = AdminServer(gateway, fleet, Endpoint("127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield asyncio.run_coroutine_threadsafe(server.start(), loop).result(5)
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()
