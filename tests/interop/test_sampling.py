"""Consistent sampling: two gateways in a row are one, and the Collector's sampler agrees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sidecar.errors import GrpcStatus
from tests.harness import otlp
from tests.harness.clients import Client
from tests.harness.collector import Collector
from tests.harness.gateway import Gateway
from tests.harness.patience import until
from tests.harness.sink import Sink
from tests.kernels.wire import fields

pytestmark = pytest.mark.process

THRESHOLD = {0.25: "c", 0.1: "e666"}
"""By the specification: MAX - rate * MAX, rounded to four digits, zeros trimmed."""
STATES = ["", "vendor=1", "ot=th:c", "ot=th:e", "ot=rv:ffffffffffffff", "ot=rv:00000000000000;x:y,vendor=1", "ot=th:0"]


def consistent(trace_id: bytes, state: str) -> bool:
    """Whether a th that is there can be true: the Collector drops what lies."""
    if "th" not in ot(state):
        return True
    told = int(ot(state)["th"].ljust(14, "0"), 16)
    return int.from_bytes(trace_id[9:]) >= told


def requests(n: int) -> list[bytes]:
    """n requests of 50 spans, with every kind of tracestate."""
    made = []
    for _ in range(n):
        spans: list[bytes] = []
        while len(spans) < 50:
            trace_id, state = os.urandom(16), STATES[len(spans) % len(STATES)]
            if consistent(trace_id, state):
                spans.append(otlp.span(trace_id, os.urandom(8), state=state))
        made.append(otlp.request(spans))
    return made


def send(address: str, bodies: list[bytes]) -> None:
    with Client(address) as client:
        assert {client.export(body).status for body in bodies} == {GrpcStatus.OK}


def states(sink: Sink) -> dict[bytes, str]:
    """The tracestate of each span by its id."""
    found = {}
    for body in sink.bodies():
        for item in otlp.items(body):
            texts = {f.number: item.body[f.value : f.end] for f in fields(item.body)}
            found[texts[2]] = texts.get(3, b"").decode()
    return found


def ot(state: str) -> dict[str, str]:
    """The sub-keys of `ot`, whose order is free."""
    members = [member.strip() for member in state.split(",")]
    pairs = [pair.split(":") for member in members if member.startswith("ot=") for pair in member[3:].split(";")]
    return dict(pairs)


@pytest.mark.parametrize("rate", THRESHOLD)
def test_two_gateways_in_a_row_keep_what_one_keeps(rate: float) -> None:
    bodies = requests(20)
    flags = ("--sampling-rate", str(rate))
    with (
        Sink() as sink,
        Gateway([sink.port], *flags) as second,
        Gateway([second.port, sink.port], *flags) as first,  # a part of it passes one gateway, the rest both
    ):
        send(second.address, bodies)
        alone = states(sink)
        sink.received.clear()
        send(first.address, bodies)
        assert states(sink) == alone
        for span in (item.body for body in bodies for item in otlp.items(body)):
            texts = {f.number: span[f.value : f.end] for f in fields(span)}
            before = ot(texts.get(3, b"").decode())
            randomness = int(before["rv"], 16) if "rv" in before else int.from_bytes(texts[1][9:])
            wanted = max(int(th.ljust(14, "0"), 16) for th in (THRESHOLD[rate], before.get("th", "0")))
            assert (texts[2] in alone) == (randomness >= wanted)
            if texts[2] in alone:
                assert int(ot(alone[texts[2]])["th"].ljust(14, "0"), 16) == wanted
        assert first.ledger().received == 1000
        assert 0 < len(alone) < 1000


@pytest.mark.parametrize("rate", THRESHOLD)
def test_the_collectors_sampler_keeps_the_same(rate: float, otelcol_binary: Path) -> None:
    bodies = requests(20)
    sampler = f"probabilistic_sampler: {{mode: equalizing, sampling_percentage: {rate * 100:g}, sampling_precision: 4}}"
    with (
        Sink() as sink,
        Collector(otelcol_binary, sink.address, sampler, pipelines="traces").running() as collector,
        Sink() as own,
        Gateway([own.port], "--sampling-rate", str(rate)) as gateway,
        Gateway([collector.port], "--sampling-rate", str(rate)) as before_collector,
    ):
        send(collector.address, bodies)
        send(gateway.address, bodies)
        until(lambda: len(states(sink)) >= len(states(own)), "the Collector hands on")
        by_collector, by_gateway = states(sink), states(own)
        assert by_gateway.keys() == by_collector.keys()
        assert {i: ot(state) for i, state in by_gateway.items()} == {i: ot(s) for i, s in by_collector.items()}
        sink.received.clear()
        send(before_collector.address, bodies)
        until(lambda: len(states(sink)) >= len(by_gateway), "the Collector hands on")
        assert states(sink).keys() == by_gateway.keys()
        assert {i: ot(s) for i, s in states(sink).items()} == {i: ot(s) for i, s in by_gateway.items()}
