"""What tests in virtual time need."""

import asyncio

import pytest

from tests.control.members import inline_threads


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be done in a thread is done at once: virtual time runs on while a thread works."""
    monkeypatch.setattr(asyncio, "to_thread", inline_threads())
