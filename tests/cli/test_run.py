import sys
from pathlib import Path
from types import ModuleType

import pytest

from sidecar.cli import run
from sidecar.config.given import Origin, Source
from sidecar.config.load import Inputs, Sources
from sidecar.config.schema import GatewayConfig
from sidecar.errors import Exit, PortTaken
from sidecar.model import Ack, Compression, Endpoint, LogFormat, LogLevel, MemberSource, RoutingStrategy, StoreKind
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


class Log:
    """Takes the place of the log, which would outlive the test."""

    def __init__(self) -> None:
        self.settings: tuple[LogLevel, LogFormat] | None = None
        self.warnings: list[dict[str, str]] = []

    def configure(self, level: LogLevel, form: LogFormat) -> None:
        self.settings = (level, form)

    def logger(self, _room: str) -> "Log":
        return self

    def warning(self, event: str, **fields: str) -> None:
        self.warnings.append({"event": event, **fields})


@pytest.fixture(autouse=True)
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    supervisor = Supervisor()
    monkeypatch.setitem(sys.modules, "sidecar.supervisor", supervisor)
    return supervisor


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    monkeypatch.setattr(run, "log", log)
    return log


def test_flags_reach_the_supervisor(capsys: pytest.CaptureFixture[str], supervisor: Supervisor, log: Log) -> None:
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
    assert log.settings == (config.log.level, config.log.format) == (LogLevel.DEBUG, LogFormat.JSON)
    assert supervisor.sources.of("delivery.ack") == Source(Origin.FLAG, "--ack")


def test_flags_of_the_fleet(capsys: pytest.CaptureFixture[str], supervisor: Supervisor) -> None:
    arguments = ("--region", "eu-1", "--id", "gateway-1", "--advertise", "a:1", "--store", "etcd")
    ended = spangate(capsys, "run", *arguments, "--etcd", "b:2379", "--etcd", "c:2379")
    assert ended == (Exit.OK, "", ""), "the registry says who the backends are"
    config = supervisor.config
    assert (config.region, config.id, config.advertise) == ("eu-1", "gateway-1", Endpoint("a", 1))
    assert config.coordination.store is StoreKind.ETCD
    assert config.coordination.endpoints == (Endpoint("b", 2379), Endpoint("c", 2379))
    assert config.routing.members is MemberSource.REGISTRY


def test_what_is_unwise_is_logged(capsys: pytest.CaptureFixture[str], log: Log) -> None:
    assert spangate(capsys, "run", "--backend", "a:1", "--ack", "queued").code == Exit.OK
    (warning,) = log.warnings
    assert (warning["setting"], warning["where"]) == ("delivery.ack", "--ack")


@pytest.mark.parametrize("by_variable", [True, False])
def test_the_file_is_named_by_flag_or_variable(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    supervisor: Supervisor,
    tmp_path: Path,
    by_variable: bool,
) -> None:
    file = tmp_path / "spangate.yaml"
    file.write_text("workers: 3\nsampling: {rate: 0.1}\n")
    monkeypatch.setenv("SPANGATE_BACKENDS", "a:1;b:1")
    monkeypatch.setenv("SPANGATE_SAMPLING_RATE", "0.2")
    monkeypatch.setenv("SPANGATE_CONFIG", str(file) if by_variable else "elsewhere")
    arguments = [] if by_variable else ["--config", str(file)]
    assert spangate(capsys, "run", *arguments).code == Exit.OK
    config = supervisor.config
    assert (config.workers, config.sampling.rate, len(config.backends)) == (3, 0.2, 2)
    inputs = supervisor.sources.inputs
    assert (inputs.file, inputs.flags) == (file, {})
    assert isinstance(inputs, Inputs), "what a reload reads again"


def test_no_backend(capsys: pytest.CaptureFixture[str]) -> None:
    ended = spangate(capsys, "run")
    assert ended.code == Exit.NO_BACKEND
    assert ended.err.startswith("error: no backend is configured\nhint: name one with --backend")


def test_all_that_is_wrong_with_flags_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    ended = spangate(capsys, "run", "--backend", "a", "--workers", "0", "--ack", "durable")
    assert ended.code == Exit.USAGE
    assert ended.err.splitlines() == [
        "error: the configuration has 3 problems",
        "  --ack: delivery.ack: 'durable' is not available yet",
        "    hint: this version has forwarded, queued",
        "  --backend: backends[0].address: 'a' has no port; write HOST:PORT",
        "  --workers: workers: must be from 1 to 256, not 0",
    ]


def test_an_error_of_the_supervisor_ends_in_its_code(
    capsys: pytest.CaptureFixture[str], supervisor: Supervisor
) -> None:
    supervisor.fails = PortTaken("127.0.0.1:4317")
    ended = spangate(capsys, "run", "--backend", "a:1")
    assert ended.code == Exit.PORT_TAKEN
    assert ended.err.startswith("error: cannot listen on 127.0.0.1:4317: address already in use\nhint: ")


def test_a_native_extension_that_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_name: str) -> ModuleType:
        raise ImportError("no module", name="sidecar._native.engine")

    monkeypatch.setattr(run, "import_module", missing)
    ended = spangate(capsys, "run", "--backend", "a:1")
    assert ended.code == Exit.NOT_BUILT
    assert "pip install -e ." in ended.err
