import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.coord.etcd import EtcdStore
from sidecar.coord.etcd_token import DOUBT_AFTER_S
from sidecar.coord.store import Lease, StoreDenied, StoreUnavailable
from sidecar.model import Secret
from tests.coord.client import soon, using
from tests.coord.cluster import EtcdCluster
from tests.coord.contract import failure, now, seen

ROOT, USER = "root", "gateway"
PASSWORD = "correct horse"
FOLDER = "/auth/"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def as_root(cluster: EtcdCluster, path: str, question: dict[str, Any]) -> None:
    """Something only root may do."""
    (node,) = cluster.nodes
    token = node.ask("auth/authenticate", {"name": ROOT, "password": PASSWORD})["token"]
    node.ask(path, question, token)


def with_auth(cluster: EtcdCluster) -> EtcdCluster:
    """Asks for users from now on: root, and one that may use the folder."""
    (node,) = cluster.nodes
    permission = {"permType": "READWRITE", "key": encoded(FOLDER), "range_end": encoded("/auth0")}
    for name, role in ((ROOT, "root"), (USER, "writer")):
        node.ask("auth/user/add", {"name": name, "password": PASSWORD})
        node.ask("auth/role/add", {"name": role})
        node.ask("auth/user/grant", {"user": name, "role": role})
    node.ask("auth/role/grant", {"name": "writer", "perm": permission})
    node.ask("auth/enable", {})
    return cluster


@pytest.fixture
def cluster(etcd_binary: Path) -> Iterator[EtcdCluster]:
    with EtcdCluster.running(etcd_binary, "--auth-token=simple", "--bcrypt-cost=4", size=1) as cluster:
        yield with_auth(cluster)


def user(cluster: EtcdCluster, password: str = PASSWORD) -> dict[str, Any]:
    return {"username": USER, "password": Secret(password)}


async def test_a_user_with_rights(cluster: EtcdCluster) -> None:
    async with using(cluster, **user(cluster)) as store:
        after = await now(store, FOLDER)
        lease = await store.grant(30.0)
        await store.put(FOLDER + "k", b"1", lease=lease)
        assert await store.keep_alive(lease) > 0
        async with store.watch(FOLDER, after) as batches:
            await seen(batches, 1)
        assert await store.health() == []
        await store.revoke(lease)
        assert (await store.list(FOLDER)).entries == ()


async def test_who_may_not(cluster: EtcdCluster) -> None:
    async with (
        using(cluster, **user(cluster)) as store,
        using(cluster, **user(cluster, "wrong")) as stranger,
        using(cluster) as nobody,
    ):
        for call in (
            store.get("/elsewhere"),
            store.list("/elsewhere"),
            store.put("/elsewhere", b""),
            store.delete("/elsewhere"),
            failure(store, "/elsewhere", 1),
            stranger.get(FOLDER + "k"),
            stranger.put(FOLDER + "k", b""),
            failure(stranger, FOLDER, 1),
            nobody.get(FOLDER + "k"),
            failure(nobody, FOLDER, 1),
        ):
            with pytest.raises(StoreDenied):
                await call


async def test_a_right_is_taken_away(cluster: EtcdCluster) -> None:
    async with using(cluster, **user(cluster)) as store:
        revision = await store.put(FOLDER + "k", b"1")
        as_root(cluster, "auth/user/revoke", {"name": USER, "role": "writer"})
        for call in (store.get(FOLDER + "k"), store.put(FOLDER + "k", b"2"), failure(store, FOLDER, revision)):
            with pytest.raises(StoreDenied):
                await call
        as_root(cluster, "auth/user/grant", {"user": USER, "role": "writer"})
        found = await store.get(FOLDER + "k")
        assert found is not None
        assert found.value == b"1"


async def test_a_watch_whose_right_is_taken_away(cluster: EtcdCluster) -> None:
    """etcd goes on with such a watch; ours asks when it is quiet for long, and hears of it then."""
    async with (
        using(cluster, timeout_s=0.2, **user(cluster)) as store,
        store.watch(FOLDER, await now(store, FOLDER)) as batches,
    ):
        as_root(cluster, "auth/user/revoke", {"name": USER, "role": "writer"})
        with pytest.raises(StoreDenied):
            await seen(batches, 1)


@pytest.mark.parametrize("call", ["get", "put", "watch", "grant"])
async def test_a_token_that_is_refused_is_renewed(cluster: EtcdCluster, call: str) -> None:
    """etcd forgets the simple tokens of a user whose password is set."""
    async with using(cluster, **user(cluster)) as store:
        revision = await store.put(FOLDER + "k", b"1")
        token = store._cluster._token._text
        as_root(cluster, "auth/user/changepw", {"name": USER, "password": PASSWORD})
        await use(store, call, revision)
        assert store._cluster._token._text != token


@pytest.mark.parametrize("call", ["get", "put", "watch", "grant"])
async def test_a_token_from_before_a_restore_is_given_up(cluster: EtcdCluster, call: str) -> None:
    """etcd waits for the index in a simple token, which a log that begins anew does not reach: nothing is refused."""
    async with using(cluster, timeout_s=0.5, **user(cluster)) as store:
        await soon(lambda: store.put(FOLDER + "k", b"1"))
        revision = await now(store, FOLDER)
        token = store._cluster._token
        token._text = f"{token._text}000000"
        with pytest.raises(StoreUnavailable):
            await use(store, call, revision)
        held = token._text
        token._fetched_s -= DOUBT_AFTER_S  # a new token is not doubted
        with pytest.raises(StoreUnavailable):
            await use(store, call, revision)
        assert held is not None
        await soon(lambda: use(store, call, revision))


async def use(store: EtcdStore, call: str, revision: int) -> None:
    match call:
        case "get":
            assert await store.get(FOLDER + "k")
        case "put":
            await store.put(FOLDER + "k", b"2")
        case "watch":
            async with store.watch(FOLDER, revision - 1) as batches:
                await seen(batches, 1)
        case "grant":
            assert isinstance(await store.grant(10.0), Lease)


async def test_tokens_that_expire(etcd_binary: Path, tmp_path: Path) -> None:
    """Work goes on over the end of tokens, whether they are renewed before it or after."""
    key = tmp_path / "key"
    key.write_bytes(b"0123456789abcdef0123456789abcdef")
    option = f"--auth-token=jwt,sign-method=HS256,priv-key={key},ttl=1s"
    with EtcdCluster.running(etcd_binary, option, "--bcrypt-cost=4", size=1) as cluster:
        with_auth(cluster)
        async with using(cluster, **user(cluster)) as store, using(cluster, **user(cluster)) as late:
            revision = await store.put(FOLDER + "k", b"1")
            await late.get(FOLDER + "k")
            late._cluster._token._renew_at_s = float("inf")  # as if its clock were an hour off
            tokens: set[str | None] = set()
            async with asyncio.timeout(15):
                while len(tokens) < 3:
                    revision = await store.put(FOLDER + "k", b"2")
                    tokens.add(store._cluster._token._text)
                    await asyncio.sleep(0.02)
            await late.put(FOLDER + "k", b"3")
            async with late.watch(FOLDER, revision) as batches:
                await seen(batches, 1)
            as_root(cluster, "auth/role/add", {"name": "another"})  # tokens are of an old revision now
            await store.get(FOLDER + "k")
            async with late.watch(FOLDER, revision) as batches:
                await seen(batches, 1)


async def test_auth_that_is_switched_on_and_off(cluster: EtcdCluster) -> None:
    async with using(cluster, **user(cluster)) as store:
        await store.put(FOLDER + "k", b"1")
        as_root(cluster, "auth/disable", {})
        await store.put(FOLDER + "k", b"2")
        async with using(cluster, **user(cluster)) as another:
            await another.put(FOLDER + "k", b"3")  # it asks for a token, and learns that none is needed
            cluster.nodes[0].ask("auth/enable", {})
            await another.put(FOLDER + "k", b"4")
        found = await store.get(FOLDER + "k")
        assert found is not None
        assert json.loads(found.value) == 4
