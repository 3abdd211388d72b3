"""One gateway for the tests of a file, and for each test a lane through it."""

from collections.abc import Iterator

import pytest

from tests.harness.gateway import Gateway
from tests.harness.sink import Sink, backends
from tests.interop.lane import Lane, lane


@pytest.fixture(scope="module")
def sinks() -> Iterator[list[Sink]]:
    with backends(3) as made:
        yield made


@pytest.fixture(scope="module")
def gateway(sinks: list[Sink]) -> Iterator[Gateway]:
    with Gateway([sink.port for sink in sinks]) as made:
        yield made


@pytest.fixture(name="lane")
def _lane(gateway: Gateway, sinks: list[Sink]) -> Iterator[Lane]:
    with lane(gateway, sinks) as made:
        yield made
