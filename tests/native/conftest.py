"""A backend and a worker for each test that asks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.native.backend import Backend
from tests.native.node import Node, configured


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    async with Backend() as made:
        yield made


@pytest.fixture
async def node(backend: Backend) -> AsyncIterator[Node]:
    async with Node(configured([backend])) as made:
        yield made
