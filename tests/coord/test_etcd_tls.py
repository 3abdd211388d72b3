import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.coord.etcd import EtcdStore
from sidecar.coord.etcd_member import system_roots
from sidecar.coord.store import StoreDenied, StoreUnavailable
from tests.coord.client import soon, using
from tests.coord.cluster import EtcdCluster
from tests.coord.contract import now, seen
from tests.harness.authority import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def cluster(etcd_binary: Path, authority: Authority) -> Iterator[EtcdCluster]:
    with EtcdCluster.running(etcd_binary, *authority.server, size=1, tls=True) as cluster:
        yield cluster


async def test_both_sides_show_certificates(cluster: EtcdCluster, authority: Authority) -> None:
    async with using(cluster, **authority.client) as store:
        await soon(lambda: store.put("/k", b"1"))
        after = await now(store, "/")
        async with store.watch("/", after) as batches:
            await store.put("/k", b"2")
            await seen(batches, 1)
        assert await store.health() == []


async def test_who_is_not_trusted(cluster: EtcdCluster, authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    async with using(cluster, **authority.client) as store:
        await soon(lambda: store.put("/k", b"1"))
    for settings in (
        {**authority.client, "ca_file": other.file("ca.crt")},
        {"ca_file": authority.file("ca.crt")},
        other.client,
        {},
    ):
        async with using(cluster, **settings) as store:
            with pytest.raises(StoreUnavailable):
                await store.put("/k", b"2")


async def test_certificates_that_are_renewed(cluster: EtcdCluster, authority: Authority, tmp_path: Path) -> None:
    """They are read anew when the connection does not come about any more."""
    async with using(cluster, **authority.client) as store:
        await soon(lambda: store.put("/k", b"1"))
        cluster.nodes[0].kill()
        authority.replace_by(Authority(tmp_path / "other"))
        await asyncio.to_thread(cluster.start)
        await soon(lambda: store.put("/k", b"2"))
        found = await store.get("/k")
        assert found is not None
        assert found.value == b"2"


async def test_a_file_that_is_not_there(cluster: EtcdCluster, authority: Authority) -> None:
    store = EtcdStore(cluster.config(**authority.client | {"key_file": "/nowhere/client.key"}))
    with pytest.raises(StoreDenied, match=r"cannot read .*client\.key: no such file"):
        await store.get("/k")
    await store.close()


@pytest.mark.parametrize("place", ["file", "folder"])
def test_what_the_system_trusts(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    """SSL_CERT_FILE and SSL_CERT_DIR say where, as for everything that uses OpenSSL."""
    certificate = Path(authority.file("ca.crt")).read_bytes()
    monkeypatch.setenv("SSL_CERT_FILE", authority.file("ca.crt") if place == "file" else "/nowhere")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "hashed"))
    (tmp_path / "hashed").mkdir()
    if place == "folder":
        with pytest.raises(FileNotFoundError):
            system_roots()
        (tmp_path / "hashed" / "12345678.0").write_bytes(certificate)
    assert system_roots() == certificate
    assert len(ssl.create_default_context(cadata=system_roots().decode()).get_ca_certs()) == 1
