"""A store at its limits: no space, passwords whose tokens expire; and a gateway at those of its disk."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from sidecar.control.records import Blob
from sidecar.errors import Exit
from tests.coord.cluster import EtcdCluster, Node
from tests.fleet.form import FORMS, SHORT, Form
from tests.fleet.member import FleetGateway
from tests.fleet.stage import Stage, encoded, staged
from tests.harness.gateway import Settings
from tests.harness.patience import until

pytestmark = pytest.mark.process

QUOTA = "--quota-backend-bytes=16777216"
PASSWORD = "correct horse"


def rate(value: float) -> str:
    return f"global:\n  sampling_rate: {value}\n"


def fill(cluster: EtcdCluster) -> None:
    """Until it has no space left."""
    (node,) = cluster.nodes
    value = encoded(bytes(1_000_000))
    with suppress(OSError):
        for number in range(40):
            node.ask("kv/put", {"key": encoded(f"/ballast/{number}"), "value": value})


def make_room(cluster: EtcdCluster) -> None:
    """As an operator does."""
    (node,) = cluster.nodes
    node.ask("kv/deleterange", {"key": encoded("/ballast/"), "range_end": encoded("/ballast0")})
    now = node.ask("kv/range", {"key": encoded("/")})["header"]["revision"]
    cluster.compact(int(now))
    node.ask("maintenance/defragment", {})
    for alarm in node.ask("maintenance/alarm", {"action": "GET"}).get("alarms", []):
        node.ask("maintenance/alarm", {"action": "DEACTIVATE", "memberID": alarm["memberID"], "alarm": "NOSPACE"})


@pytest.mark.parametrize("form", FORMS)
def test_it_has_no_space(etcd_binary: Path, form: Form) -> None:
    """Spans flow, the lease holds; changes are refused with the reason, and taken again once there is room."""
    with (
        EtcdCluster.running(etcd_binary, QUOTA, size=1) as cluster,
        staged(cluster, ("solo",), 1, form=form) as stage,
    ):
        (gateway,) = stage.gateways
        stage.apply(rate(0.5))
        with stage.accounted() as account:
            with stage.load() as load:
                fill(cluster)
                said = gateway.apply(rate(0.6), "--wait", "0s")
                assert said.code == Exit.STORE, said
                assert "space" in said.err
                stage.meanwhile(60, account)
                assert gateway.fleet.lease_valid
                assert gateway.fleet.lease_losses == 0
                assert gateway.status().sampling_rate == 0.5
                make_room(cluster)
                stage.change(rate(1.0))
                stage.until(
                    lambda: told(stage) == gateway.fleet.scopes["global"].applied_version, "and it announces again"
                )
            assert load.failed == 0
        assert account.received == load.sent


def told(stage: Stage) -> int:
    """The version that the gateway announces."""
    ((record,),) = [[one.record for one in region.gateways] for region in stage.gateways[0].topology().regions]
    return record.config["global"].applied_version


def test_it_forgets_its_tokens(etcd_binary: Path) -> None:
    """As etcd does when it restarts: a gateway asks for another one, and misses nothing."""
    with EtcdCluster.running(etcd_binary, "--auth-token=simple", "--bcrypt-cost=4", size=1) as cluster:
        (node,) = cluster.nodes
        with staged(cluster, ("solo",), 1, settings=user_of(node)) as stage:
            (gateway,) = stage.gateways
            stage.apply(rate(0.5))
            with stage.accounted() as account:
                with stage.load() as load, gateway.frozen():
                    node.kill()
                    cluster.start()
                until(gateway.heard, "it is a member again")
                said = gateway.apply(rate(0.25))
                assert said.code == Exit.OK, said
                assert "taken by 1 of 1 gateway" in said.out
                assert load.failed == 0
            assert account.received == load.sent


@pytest.mark.parametrize("form", FORMS)
def test_its_tokens_expire(etcd_binary: Path, tmp_path: Path, form: Form) -> None:
    """One after the other, while changes are made: each is heard, no lease is lost."""
    key = tmp_path / "key"
    key.write_bytes(b"0123456789abcdef0123456789abcdef")
    ttl_s = 1 if form is SHORT else 3
    option = f"--auth-token=jwt,sign-method=HS256,priv-key={key},ttl={ttl_s}s"
    with EtcdCluster.running(etcd_binary, option, "--bcrypt-cost=4", size=1) as cluster:
        settings = user_of(cluster.nodes[0])
        with staged(cluster, ("solo",), 1, settings=settings, form=form) as stage:
            (gateway,) = stage.gateways
            with stage.accounted() as account:
                with stage.load() as load:
                    for number in range(1, 4 if form is SHORT else 10):
                        said = gateway.apply(rate(number / 10))
                        assert (said.code, "taken by 1 of 1 gateway" in said.out) == (Exit.OK, True), said
                        stage.meanwhile(ttl_s / form.factor, account)
                assert load.failed == 0
            assert account.received == load.sent
            assert gateway.fleet.lease_losses == 0


def user_of(node: Node) -> Settings:
    """Asks for users from now on; what a gateway has to know then."""
    for name, role in (("root", "root"), ("gateway", "writer")):
        node.ask("auth/user/add", {"name": name, "password": PASSWORD})
        node.ask("auth/role/add", {"name": role})
        node.ask("auth/user/grant", {"user": name, "role": role})
    everything = {"permType": "READWRITE", "key": encoded("/"), "range_end": encoded("0")}
    node.ask("auth/role/grant", {"name": "writer", "perm": everything})
    node.ask("auth/enable", {})
    return {"coordination.username": "gateway", "coordination.password": PASSWORD}


@pytest.mark.parametrize("changes", [300, pytest.param(10_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])])
def test_a_burst_of_changes_with_bad_ones_among_them(fleet: Stage, changes: int) -> None:
    """Fault 7: the last good one is in force, none is ever half taken, and the bad one after it is told."""
    fleet.apply(rate(0.5))
    version = fleet.gateways[0].fleet.scopes["global"].applied_version
    rates = [round(0.1 + number / 100_000, 5) for number in range(changes)]

    def write(number: int) -> None:
        body = rate(7.0) if number % 10 == 9 else rate(rates[number])
        digest = hashlib.sha256(body.encode()).hexdigest()
        blob = Blob(version=version + 1 + number, sha256=digest, body=body)
        fleet.put("config/global", msgspec.json.encode(blob))

    seen = {gateway.identity: set[float]() for gateway in fleet.gateways}

    def write_all() -> None:
        for number in range(len(rates)):
            write(number)

    with fleet.accounted(), fleet.load(rate=20) as load, ThreadPoolExecutor(1) as writer:
        writing = writer.submit(write_all)
        while not writing.done():
            for gateway in fleet.gateways:
                seen[gateway.identity].add(gateway.status().sampling_rate)
        writing.result()
        wanted = (version + len(rates) - 1, version + len(rates))
        for gateway in fleet.gateways:
            until(lambda: versions(gateway) == wanted, "the last good one is in force, the bad one told")  # noqa: B023
            assert gateway.status().sampling_rate == rates[-2]
            assert seen[gateway.identity] <= {*rates, 0.5}
    assert load.failed == 0


def versions(gateway: FleetGateway) -> tuple[int, int]:
    """In force, and refused."""
    scope = gateway.fleet.scopes["global"]
    return scope.applied_version, scope.refused_version


@contextmanager
def little_disk(folder: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_the_disk_is_full(fleet: Stage, tmp_path: Path) -> None:
    """Fault 12: what is last good cannot be kept. That is told, and the former file stays whole."""
    with little_disk(tmp_path / "disk") as disk:
        settings = {"coordination.state_dir": str(disk)}
        with fleet.gateway("attic", "attic-0", settings=settings, alone=True) as gateway:
            until(gateway.heard, "it is a member")
            fleet.apply(rate(0.5))
            kept = disk / "last-good.json"
            until(lambda: kept.exists() and b"0.5" in kept.read_bytes(), "it is on disk")
            with suppress(OSError), (disk / "ballast").open("wb") as ballast:
                ballast.write(bytes(1 << 16))
            fleet.apply(rate(0.25))
            until(lambda: gateway.events("the last good configuration is not kept"), "it is told")
            assert gateway.status().sampling_rate == 0.25
            assert gateway.heard()
            assert b"sampling_rate: 0.5" in kept.read_bytes()
            assert not [left for left in disk.iterdir() if "partial" in left.name]
            (disk / "ballast").unlink()
            fleet.apply(rate(0.75))
            until(lambda: b"sampling_rate: 0.75" in kept.read_bytes(), "it is kept again")
