"""The SDKs of Go and of JavaScript, as they are: every span arrives, byte by byte, with what was set on it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sidecar.model import Signal
from tests.interop.lane import Lane
from tests.parts import PartMissing, npm
from tests.parts.catalogue import HERE

pytestmark = pytest.mark.process

TRACES = 200
COMPRESSIONS = ["none", "gzip"]


@pytest.fixture(scope="module")
def node_program() -> list[str]:
    """The command; without Node the test is skipped, under CI as well: no part of the product needs it."""
    try:
        return npm.program(HERE / "nodesdk")
    except PartMissing as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_go(lane: Lane, gosdk_binary: Path, compression: str) -> None:
    sent_by([str(gosdk_binary)], lane, compression)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_node(lane: Lane, node_program: list[str], compression: str) -> None:
    sent_by(node_program, lane, compression)


def sent_by(program: Sequence[str], lane: Lane, compression: str) -> None:
    """Runs the program; what it set on its spans is what the backends have."""
    command = [*program, lane.address, str(TRACES), compression]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr
    lane.settle(Signal.TRACES, at_least=2 * TRACES)
    assert {message.compressed for message in lane.messages()} == {compression == "gzip"}
    spans = [span for sink in lane.sinks for body in sink.bodies() for span in spans_of(body)]
    parents = {value(span, "i"): span for span in spans if span.name == "GET /"}
    children = [span for span in spans if span.name == "SELECT"]
    assert parents.keys() == set(range(TRACES))
    assert len(spans) == 2 * TRACES
    for i, parent in parents.items():
        assert isinstance(i, int)
        assert parent.kind == Span.SPAN_KIND_SERVER
        assert (value(parent, "odd"), value(parent, "half"), value(parent, "text")) == (i % 2 == 1, i / 2, f"ü{i}")
        assert [event.name for event in parent.events] == ["began"]
    assert {child.parent_span_id for child in children} == {parent.span_id for parent in parents.values()}
    assert {child.status.code for child in children} == {Status.STATUS_CODE_ERROR}
    assert all(child.links[0].trace_id == child.trace_id for child in children)


def spans_of(body: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


def value(span: Span, key: str) -> object:
    """An attribute; JavaScript knows one kind of number."""
    (found,) = [attribute.value for attribute in span.attributes if attribute.key == key]
    return getattr(found, str(found.WhichOneof("value")))
