"""The fleet that the tests share, and one for those who break it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.coord.cluster import EtcdCluster
from tests.fleet.stage import EMPTY, Stage, staged


@pytest.fixture(scope="session")
def shared_stage(etcd: EtcdCluster) -> Iterator[Stage]:
    with staged(etcd, ("east", "west"), 2) as stage:
        yield stage


@pytest.fixture
def fleet(shared_stage: Stage) -> Iterator[Stage]:
    """Two regions of two gateways, for all tests: each finds it without a configuration, and leaves it whole."""
    yield shared_stage
    shared_stage.apply(EMPTY)
