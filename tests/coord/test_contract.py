from collections.abc import AsyncIterator

import pytest

from sidecar.coord.etcd import EtcdStore
from sidecar.coord.memory import MemoryStore
from sidecar.coord.store import Store
from tests.coord.cluster import EtcdCluster
from tests.coord.contract import Compact, StoreContract


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return f"/{request.node.name}/"


class TestMemory(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()

    @pytest.fixture
    def compact(self) -> Compact:
        async def compact(store: Store) -> None:
            assert isinstance(store, MemoryStore)
            store.compact()

        return compact


class TestEtcd(StoreContract):
    @pytest.fixture
    async def store(self, etcd: EtcdCluster) -> AsyncIterator[Store]:
        store = EtcdStore(etcd.config())
        yield store
        await store.close()

    @pytest.fixture
    def compact(self, etcd: EtcdCluster) -> Compact:
        async def compact(store: Store) -> None:
            etcd.compact((await store.list("/compact/")).revision)

        return compact
