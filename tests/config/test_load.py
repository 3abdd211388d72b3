from pathlib import Path

import msgspec
import pytest

from sidecar.config.given import Origin, Source
from sidecar.config.load import Inputs, load
from sidecar.config.schema import GatewayConfig
from sidecar.coord.keys import checked
from sidecar.errors import ConfigInvalid, Exit, Problem
from sidecar.model import Ack, Compression, Endpoint, LogLevel, Ownership, RoutingStrategy, Signal
from tests.config.files import loaded, written


def test_nothing_given_is_the_defaults() -> None:
    assert load(Inputs()).config == GatewayConfig()


def test_flag_before_environment_before_file_before_default(tmp_path: Path) -> None:
    file = written(tmp_path, "sampling: {rate: 0.1}\ndelivery: {ack: queued, max_retries: 5}\nworkers: 2\n")
    environment = {"SPANGATE_SAMPLING_RATE": "0.2", "SPANGATE_DELIVERY_ACK": "queued", "HOME": "/nowhere"}
    answer = load(Inputs(file, environment, {"delivery.ack": "forwarded"}))
    config, sources = answer.config, answer.sources
    assert (config.delivery.ack, config.sampling.rate, config.workers) == (Ack.FORWARDED, 0.2, 2)
    assert config.delivery.max_retries == 5, "its neighbours were overridden, not the section"
    assert sources.of("delivery.ack") == Source(Origin.FLAG, "--ack")
    assert sources.of("sampling.rate") == Source(Origin.ENVIRONMENT, "SPANGATE_SAMPLING_RATE")
    assert sources.of("workers") == Source(Origin.FILE, str(file), 3)
    assert sources.of("delivery.max_retries") == Source(Origin.FILE, str(file), 2)
    assert sources.of("batch.max_wait") == Source(Origin.DEFAULT)


def test_a_list_is_taken_whole(tmp_path: Path) -> None:
    file = written(tmp_path, "listen: [127.0.0.1:1, 127.0.0.1:2]\nbackends: [a:1, b:1]\n")
    config = load(Inputs(file, {}, {"listen": ["127.0.0.1:3"], "backends": ["c:1", "d:1,weight=2"]})).config
    assert config.listen == (Endpoint("127.0.0.1", 3),)
    assert [(str(b.address), b.weight) for b in config.backends] == [("c:1", 1), ("d:1", 2)]


def test_every_shape_of_a_list(tmp_path: Path) -> None:
    for text in ("listen: a:1,b:1", "listen: [a:1, b:1]", "listen:\n- a:1\n- b:1", "listen: ' a:1, b:1 '"):
        assert loaded(tmp_path, text + "\n").config.listen == (Endpoint("a", 1), Endpoint("b", 1))
    assert loaded(tmp_path, "listen: a:1\n").config.listen == (Endpoint("a", 1),)
    assert loaded(tmp_path, "sampling: {signals: []}\n").config.sampling.signals == ()
    assert loaded(tmp_path, "sampling: {signals: 'logs, traces'}\n").config.sampling.signals == (
        Signal.LOGS,
        Signal.TRACES,
    )


def test_units_and_names(tmp_path: Path) -> None:
    text = """
        batch: {max_wait: 150ms, pacing: 200us, max_bytes: 1MiB}
        delivery: {max_wait: 2, may_duplicate_on_timeout: yes}
        receiver: {connection_max_age: 1h30m}
        routing: {strategy: intelligent}
        log: {level: warning}
        backends: [{address: "[::1]:4317", compression: gzip}]
    """
    config = loaded(tmp_path, text).config
    assert (config.batch.max_wait_s, config.batch.pacing_s, config.batch.max_bytes) == (0.15, 0.0002, 1 << 20)
    assert (config.delivery.max_wait_s, config.delivery.may_duplicate_on_timeout) == (2.0, True)
    assert config.receiver.connection_max_age_s == 5400
    assert config.log.level is LogLevel.WARNING
    (backend,) = config.backends
    assert (backend.address, backend.name) == (Endpoint("::1", 4317), "[::1]:4317")
    assert config.compression_of(backend) is Compression.GZIP


@pytest.mark.parametrize(
    ("strategy", "ownership"),
    [
        (RoutingStrategy.CONSISTENT_HASH, Ownership.TRACE),
        (RoutingStrategy.INTELLIGENT, Ownership.TRACE),
        (RoutingStrategy.ROUND_ROBIN, Ownership.NONE),
        (RoutingStrategy.WEIGHTED_ROUND_ROBIN, Ownership.NONE),
        (RoutingStrategy.LEAST_CONNECTIONS, Ownership.NONE),
    ],
)
def test_ownership_follows_the_strategy(strategy: RoutingStrategy, ownership: Ownership) -> None:
    routing = load(Inputs(flags={"routing.strategy": str(strategy)})).config.routing
    assert routing.ownership is ownership
    assert routing.owning is (ownership is Ownership.TRACE)


def test_a_backend_is_compressed_as_delivery_says_unless_it_says_itself(tmp_path: Path) -> None:
    text = "delivery: {compression: gzip}\nbackends: [a:1, 'b:1,compression=none']\n"
    config = loaded(tmp_path, text).config
    assert [config.compression_of(b) for b in config.backends] == [Compression.GZIP, Compression.NONE]


def test_a_variable_that_is_set_to_nothing_is_not_set(tmp_path: Path) -> None:
    assert loaded(tmp_path, "workers: 2\n", SPANGATE_WORKERS="").config.workers == 2


def test_an_empty_text_stands_for_a_default_that_is_empty(tmp_path: Path) -> None:
    text = """
        id: ""
        advertise: ""
        coordination: {password: "", ca_file: ""}
        collector: {endpoint: "", health_url: ""}
        backends: [{address: a:1, compression: ""}]
    """
    config = loaded(tmp_path, text).config
    assert config == GatewayConfig(backends=config.backends)
    assert config.backends[0].compression is None
    with pytest.raises(ConfigInvalid):
        loaded(tmp_path, "region: ''\n")


@pytest.mark.parametrize(
    ("endpoint", "id_"), [("a.b:1", "a.b-1"), ("'[2001:db8::1]:4317'", "2001-db8-1-4317"), ("a_b:1", "a_b-1")]
)
def test_a_collector_is_called_by_its_endpoint(tmp_path: Path, endpoint: str, id_: str) -> None:
    collector = loaded(tmp_path, f"collector: {{endpoint: {endpoint}}}\n").config.collector
    assert collector.id == checked(id_)
    assert loaded(tmp_path, f"collector: {{endpoint: {endpoint}, id: x}}\n").config.collector.id == "x"


def test_a_section_with_nothing_in_it_is_not_there(tmp_path: Path) -> None:
    assert loaded(tmp_path, "batch:\nbackends:\nworkers: 2\n").config == GatewayConfig(workers=2)


def test_a_problem_names_its_place() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load(Inputs(None, {"SPANGATE_SAMPLING_RATE": "2"}, {"delivery.ack": "queud"}))
    assert sorted(caught.value.problems) == [
        Problem("delivery.ack", "must be one of forwarded, queued, not 'queud'", "did you mean queued?", None, "--ack"),
        Problem("sampling.rate", "must be from 0 to 1, not 2", "", None, "SPANGATE_SAMPLING_RATE"),
    ]
    assert caught.value.exit_code is Exit.USAGE


def test_a_stranger_among_the_variables_is_told_and_does_no_harm() -> None:
    environment = {
        "SPANGATE_SAMPLING_RAT": "0.1",
        "SPANGATE_CONFIG": "x",
        "SPANGATE_TRACEBACK": "1",
        # Kubernetes sets these beside a Service of our name.
        "SPANGATE_SERVICE_HOST": "10.0.0.1",
        "SPANGATE_PORT": "tcp://10.0.0.1:4317",
        "SPANGATE_PORT_4317_TCP": "tcp://10.0.0.1:4317",
    }
    (warning,) = load(Inputs(None, environment)).warnings
    assert (warning.source, warning.hint) == ("SPANGATE_SAMPLING_RAT", "did you mean SPANGATE_SAMPLING_RATE?")


def test_loading_again_is_a_reload(tmp_path: Path) -> None:
    first = loaded(tmp_path, "sampling: {rate: 0.1}\n", SPANGATE_WORKERS="3")
    written(tmp_path, "sampling: {rate: 0.2}\n")
    second = load(first.sources.inputs)
    assert (second.config.sampling.rate, second.config.workers) == (0.2, 3)


def test_workers_get_it_as_json(tmp_path: Path) -> None:
    text = "backends: ['a:1,weight=2,header.api-key=secret', b:1]\nrouting: {strategy: round_robin}\n"
    config = loaded(tmp_path, text).config
    again = msgspec.json.decode(msgspec.json.encode(config), type=GatewayConfig)
    assert again == config
    assert again.backends[0].headers["api-key"].reveal() == "secret"
