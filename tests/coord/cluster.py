"""A real etcd cluster on loopback, whose members can be killed, frozen and wiped.

pytest plugin: `etcd` is a healthy one of three members that all tests share, each under a prefix of its own.
"""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sidecar.config.schema import CoordinationConfig
from sidecar.model import Endpoint, StoreKind
from tests.harness.patience import free_port, listens, until

QUICK = ("--heartbeat-interval=50", "--election-timeout=500", "--unsafe-no-fsync", "--log-level=error")
"""Elections in half a second; a killed process loses nothing that it has written, so that fsync proves nothing here."""


class Node:
    """One member as a process; it keeps its data when it is killed."""

    def __init__(self, binary: Path, folder: Path, name: str, *, tls: bool = False) -> None:
        self.name = name
        self.scheme = "https" if tls else "http"
        self.client, self.peer = free_port(), free_port()
        self.data = folder / name
        self.log = folder / f"{name}.log"
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def peer_url(self) -> str:
        return f"http://127.0.0.1:{self.peer}"

    def start(self, cluster: str, *options: str) -> None:
        client = f"{self.scheme}://127.0.0.1:{self.client}"
        command: list[str | Path] = [
            self._binary,
            "--name",
            self.name,
            "--data-dir",
            self.data,
            "--initial-cluster",
            cluster,
        ]
        command += ["--listen-client-urls", client, "--advertise-client-urls", client]
        command += ["--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([*command, *QUICK, *options], stdout=log, stderr=log)

    def kill(self) -> None:
        """As a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Its connections stay open, and nothing moves."""
        self._signal(signal.SIGSTOP)
        until(self._stopped, f"{self.name} has stopped")

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Inside the `with`."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def wipe(self) -> None:
        """Its disk is lost. Only of a killed one."""
        shutil.rmtree(self.data)

    def ask(self, path: str, question: dict[str, Any], token: str = "") -> dict[str, Any]:
        """A call through etcd's JSON gateway: another way than the one that is tested. OSError when it does not do."""
        headers = {"Authorization": token} if token else {}
        with self._connection() as connection:
            connection.request("POST", f"/v3/{path}", json.dumps(question), headers)
            response = connection.getresponse()
            told: dict[str, Any] = json.load(response)
            if response.status != 200:
                raise OSError(f"{path}: {told}")
            return told

    def healthy(self) -> bool:
        """Whether it says so; of TLS, which it may speak only with those who have a certificate, whether it listens."""
        if self.scheme == "https":
            return listens(self.client)
        with suppress(OSError, http.client.HTTPException), self._connection() as connection:
            connection.request("GET", "/health")
            told: dict[str, str] = json.load(connection.getresponse())
            return told["health"] == "true"
        return False

    def leads(self) -> bool:
        status = self.ask("maintenance/status", {})
        return bool(status["leader"] == status["header"]["member_id"])

    @contextmanager
    def _connection(self) -> Iterator[http.client.HTTPConnection]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.client, timeout=2)) as connection:
            yield connection

    def _stopped(self) -> bool:
        """Whether the kernel has stopped it: the signal alone returns before."""
        assert self._process is not None, f"{self.name} does not run"
        return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")[2].startswith("T")

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, f"{self.name} does not run"
        self._process.send_signal(number)


class EtcdCluster:
    """`size` members, started with further `options`."""

    def __init__(self, binary: Path, folder: Path, size: int, options: tuple[str, ...], *, tls: bool) -> None:
        self.nodes = [Node(binary, folder, f"n{number}", tls=tls) for number in range(size)]
        self._options = options

    @classmethod
    @contextmanager
    def running(cls, binary: Path, *options: str, size: int = 3, tls: bool = False) -> Iterator[EtcdCluster]:
        """A cluster that is healthy at the start of the `with`."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spangate-etcd-")))
            cluster = cls(binary, folder, size, options, tls=tls)
            for node in cluster.nodes:
                stack.callback(node.kill)
            cluster.start()
            yield cluster

    def start(self, *nodes: Node) -> None:
        """Starts these, or all; they are healthy then."""
        started = nodes or self.nodes
        members = ",".join(f"{node.name}={node.peer_url}" for node in self.nodes)
        for node in started:
            node.start(members, *self._options)
        until(lambda: all(node.healthy() for node in started), "etcd is healthy")

    def config(self, *, first: Node | None = None, timeout_s: float = 2.0, **settings: Any) -> CoordinationConfig:
        """The section of a gateway that uses all members, or those from `first` on in their order."""
        start = self.nodes.index(first) if first else 0
        nodes = self.nodes[start:] + self.nodes[:start]
        endpoints = tuple(Endpoint("127.0.0.1", node.client) for node in nodes)
        return CoordinationConfig(store=StoreKind.ETCD, endpoints=endpoints, timeout_s=timeout_s, **settings)

    def leader(self) -> Node:
        """The member that leads now."""
        found: list[Node] = []

        def led() -> bool:
            with suppress(OSError, http.client.HTTPException):
                found[:] = [node for node in self.nodes if node.leads()]
            return len(found) == 1

        until(led, "a member leads")
        return found[0]

    def follower(self) -> Node:
        leader = self.leader()
        return next(node for node in self.nodes if node is not leader)

    def compact(self, revision: int) -> None:
        """Forgets what was before the revision; on all members."""
        self.nodes[0].ask("kv/compaction", {"revision": revision, "physical": True})


@pytest.fixture(scope="session")
def etcd(etcd_binary: Path) -> Iterator[EtcdCluster]:
    """A cluster of three. Leave it as it was; one to break is `EtcdCluster.running(etcd_binary)`."""
    with EtcdCluster.running(etcd_binary) as cluster:
        yield cluster
