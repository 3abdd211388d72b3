"""SIGHUP: what a changed file changes, and that a wrong one changes nothing."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from sidecar.errors import GrpcStatus
from sidecar.snapshot import SettingValue
from tests.faults.books import seen, settle, trace_ids
from tests.harness import otlp
from tests.harness.clients import Client, Clients
from tests.harness.gateway import Gateway
from tests.harness.patience import until
from tests.harness.sink import Answer, Sink, always, backends

pytestmark = pytest.mark.process

REFUSED = "the new configuration is refused, the old one stays"


def setting(gateway: Gateway, path: str) -> SettingValue:
    """A row of /config."""
    return SettingValue(path, **json.loads(gateway.page("/config")[1])[path])


def names(gateway: Gateway) -> list[str]:
    """The backends of /status."""
    return [backend.name for backend in gateway.status().backends]


def test_backends_and_the_sampling_rate_change_live() -> None:
    settings = {"routing.affinity_window": "0s"}
    with (
        backends(3) as sinks,
        Gateway([sinks[0].port, sinks[1].port], "--workers", "2", settings=settings) as gateway,
    ):
        with Clients(gateway.address, 3) as load, Client(gateway.address) as client:
            until(load.progressed(10), "clients are served")
            assert (gateway.status().generation, names(gateway)) == (1, [sinks[0].address, sinks[1].address])

            gateway.reload([sink.port for sink in sinks])
            assert gateway.status().generation == 2
            assert names(gateway) == [sink.address for sink in sinks]
            until(lambda: gateway.up() == 3, "every worker has the new one")
            assert client.export(otlp.request(map_of(trace_ids(gateway, sinks[2].port, 5)))).status is GrpcStatus.OK
            assert sinks[2].span_ids(), "its own traces go to it"

            gateway.reload([sinks[1].port, sinks[2].port])
            assert names(gateway) == [sinks[1].address, sinks[2].address]
            until(lambda: gateway.up() == 2, "the one that left is disconnected")
            until(load.progressed(10), "clients are served")
            load.stop()
            assert load.failures == []
            settle(gateway)
            assert load.acknowledged <= seen(sinks).keys()

            before = gateway.ledger().forwarded
            assert setting(gateway, "sampling.rate") == SettingValue("sampling.rate", 1.0, "default")
            gateway.reload(settings={"sampling.rate": 0.0})
            assert (gateway.status().generation, gateway.status().sampling_rate) == (4, 0.0)
            shown = setting(gateway, "sampling.rate")
            assert (shown.value, shown.source) == (0.0, "file")
            assert Path(shown.where.rpartition(":")[0]).name == "spangate.yaml"
            assert client.export(otlp.spans(20)).status is GrpcStatus.OK
            settle(gateway)
            assert (gateway.ledger().forwarded, gateway.ledger().sampled_out) == (before, 20)
        said = gateway.events("the configuration is reloaded")
        assert [line["changed"] for line in said] == [["backends"], ["backends"], ["sampling.rate"]]


def map_of(traces: list[bytes]) -> list[bytes]:
    """A span of each of these traces."""
    return [otlp.span(trace_id, trace_id[:8]) for trace_id in traces]


def test_a_wrong_file_changes_nothing_and_a_flag_stays_above_a_right_one() -> None:
    with (
        Sink() as sink,
        Gateway([sink.port], "--sampling-rate", "0.5") as gateway,
        Client(gateway.address) as client,
    ):
        refused = 0
        for text, why in (
            ("backends: [", "line"),
            ("backends: []\n", "no backend is configured"),
            ("backends: ['127.0.0.1:1']\nsampling: {precision: 99}\n", "sampling.precision"),
            ("backends: ['A.example:1', 'a.example:1']\n", "backends[1].address: is that of backends[0]"),
            ("backends: ['127.0.0.1:1']\nsamplign: {}\n", "samplign"),
        ):
            gateway._file.write_text(text)
            gateway.process.send_signal(signal.SIGHUP)
            refused += 1
            until(lambda: len(gateway.events(REFUSED)) == refused, f"{text} is refused")  # noqa: B023
            reason = gateway.events(REFUSED)[-1]["reason"]
            assert why in reason or ("spangate.yaml:" in reason and why == "line")
        gateway._file.unlink()
        gateway.process.send_signal(signal.SIGHUP)
        until(lambda: len(refusals(gateway)) == refused + 1, "what is not there is refused")
        status = gateway.status()
        assert (status.generation, status.ready, names(gateway)) == (1, True, [sink.address])
        assert client.export(otlp.spans(3)).status is GrpcStatus.OK
        gateway.reload(settings={"sampling.rate": 0.1, "sampling.precision": 3, "workers": 4})
        shown = setting(gateway, "sampling.rate")
        assert (shown.value, shown.source, shown.where) == (0.5, "flag", "--sampling-rate")
        [said] = gateway.events("the configuration is reloaded")
        assert (said["changed"], said["after_restart"]) == (["sampling.precision"], ["workers"])
        status = gateway.status()
        assert (status.generation, len(status.workers), setting(gateway, "workers").value) == (2, 1, 1)


def refusals(gateway: Gateway) -> list[dict[str, Any]]:
    """Reloads that changed nothing, and why."""
    return gateway.events(REFUSED) + gateway.events("the configuration cannot be read, the old one stays")


def weights(gateway: Gateway) -> list[float]:
    """Of the backends, as they are in force."""
    return [backend.weight for backend in gateway.status().backends]


def test_the_strategy_changes_live() -> None:
    """`intelligent` begins to weigh when it is chosen, and its weights go when another strategy is."""
    settings = {"routing.load_weight": 0.0, "routing.latency_weight": 1.0}
    with (
        Sink() as fast,
        Sink(always(Answer(delay_s=0.1))) as slow,
        Gateway([fast.port, slow.port], settings=settings) as gateway,
        Clients(gateway.address, 4) as load,
    ):
        until(load.progressed(10), "clients are served")
        assert weights(gateway) == [1.0, 1.0]
        gateway.reload(settings={"routing.strategy": "intelligent"})
        until(lambda: weights(gateway)[0] > 1 > weights(gateway)[1], "the slow one gets less")
        gateway.reload(settings={"routing.strategy": "consistent_hash"})
        assert gateway.status().strategy == "consistent_hash"
        assert weights(gateway) == [1.0, 1.0], "as configured"
        load.stop()
        assert load.failures == []
