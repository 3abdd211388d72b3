import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sidecar.cli import run
from sidecar.config.given import Source
from sidecar.config.load import Inputs, Sources
from sidecar.config.schema import GatewayConfig
from sidecar.errors import Exit, PortTaken
from sidecar.model import Ack, Compression, Endpoint, LogFormat, LogLevel, RoutingStrategy
from tests.cli.command_line import spangate


class Supervisor(ModuleType):
    """Takes the place of the real one, and keeps what it is run with."""

    def __init__(self) -> None:
        super().__init__("sidecar.supervisor")
        self.config = GatewayConfig()
        self.sources = Sources()
        self.fails: Exception | None = None

    def run(self, config: GatewayConfig, sources: Sources) -> int:
        self.config, self.sources = config, sources
        if self.fails:
            raise self.fails
        return Exit.OK


@pytest.fixture(autouse=True)
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    supervisor = Supervisor()
    monkeypatch.setitem(sys.modules, "sidecar.supervisor", supervisor)
    return supervisor


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Any, ...]]]:
    """What the log is told, instead of a log that would outlive the test."""
    told: list[tuple[Any, ...]] = []
    logger = SimpleNamespace(warning=lambda event, **fields: told.append((event, fields)))
    fake = SimpleNamespace(configure=lambda *given: told.append(given), logger=lambda _name: logger)
    monkeypatch.setattr(run, "log", fake)
    return iter([told])


def test_flags_reach_the_supervisor(capsys: pytest.CaptureFixture[str], supervisor: Supervisor) -> None:
    ended = spangate(
        capsys,
        "run",
        *("--listen", "127.0.0.1:1", "--listen", "127.0.0.1:2", "--backend", "a:1,weight=2", "--backend", "b:1"),
        *("--routing", "weighted_round_robin", "--workers", "2", "--ack", "queued", "--compression", "gzip"),
        *("--sampling-rate", "0.5", "--admin", "127.0.0.1:3", "--log-level", "debug", "--log-format", "json"),
    )
    assert ended == (Exit.OK, "", "")
    config = supervisor.config
    assert config.listen == (Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 2))
    assert [(b.name, b.weight) for b in config.backends] == [("a:1", 2), ("b:1", 1)]
    assert config.routing.strategy is RoutingStrategy.WEIGHTED_ROUND_ROBIN
    assert (config.workers, config.sampling.rate, config.admin.listen) == (2, 0.5, Endpoint("127.0.0.1", 3))
    assert (config.delivery.ack, config.delivery.compression) == (Ack.QUEUED, Compression.GZIP)
    assert (config.log.level, config.log.format) == (LogLevel.DEBUG, LogFormat.JSON)
    assert supervisor.sources.of("delivery.ack") == Source("flag", "--ack")  # type: ignore[arg-type]
