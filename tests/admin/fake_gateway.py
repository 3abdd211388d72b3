"""A gateway that is nothing but what it says of itself."""

from __future__ import annotations

from sidecar.model import Signal
from sidecar.snapshot import (
    BackendStatus,
    ErrorCount,
    Explanation,
    Figures,
    FleetStatus,
    Foresight,
    GatewayStatus,
    Histogram,
    LedgerRow,
    LedgerSnapshot,
    Question,
    Rates,
    RequestCount,
    ScopeStatus,
    SettingValue,
    WorkerStatus,
)

LEDGER = LedgerSnapshot(
    (
        LedgerRow(
            signal=Signal.TRACES,
            service="checkout",
            received=100,
            forwarded=60,
            sampled_out=20,
            sampled_out_by={"rate": 15, "limit": 5},
            rejected=5,
            dropped={"client_gone": 3, "worker_crash": 2},
            in_flight=10,
        ),
        LedgerRow(signal=Signal.TRACES, service='we "b"\n', received=7, forwarded=7),
        LedgerRow(signal=Signal.LOGS, service="checkout", received=4, in_flight=4),
    )
)

STATUS = GatewayStatus(
    version="0.1.0",
    region="eu-1",
    uptime_s=3725.5,
    ready=True,
    generation=4,
    strategy="consistent_hash",
    fleet=FleetStatus(
        id="gw-1",
        scopes={"global": ScopeStatus(applied_version=3, applied_revision=40)},
        view_epochs={"eu-1": 5},
        fallbacks=("us-1",),
        leads=("regions/eu-1",),
    ),
    foresight=Foresight(utilization=0.5, shed={"ceiling": {"low": 0.25}}),
    sampling_rate=0.5,
    memory_bytes=3 << 20,
    memory_limit_bytes=512 << 20,
    rates=Rates(requests=10, received=1234, forwarded=600, sampled_out=600, refused=1, received_bytes=2.5e6),
    latency_p50_ms=0.25,
    latency_p99_ms=1.5,
    listen=("127.0.0.1:4317",),
    workers=(WorkerStatus(number=0, pid=4242, alive=True, generation=4, connections=3, restarts=1, cpu_s=1.5),),
    backends=(
        BackendStatus(
            name="blue",
            address="a:4317",
            up=True,
            share=0.75,
            queue_bytes=1 << 20,
            queue_limit_bytes=64 << 20,
            calls_in_flight=2,
            latency_p50_ms=0.5,
            latency_p99_ms=2.0,
            sent={Signal.TRACES: 60, Signal.LOGS: 1},
            retried=2,
        ),
        BackendStatus(
            name="b:4317",
            address="b:4317",
            up=False,
            reason="refused",
            weight=2,
            send_failed={Signal.TRACES: 5},
            rerouted=1,
            rejected=3,
        ),
    ),
)

FIGURES = Figures(
    requests=(
        RequestCount(signal=Signal.TRACES, service="checkout", requests=9),
        RequestCount(signal=Signal.LOGS, service="checkout", requests=1),
    ),
    errors=(ErrorCount(error_type="invalid_argument", requests=2, bytes=512),),
    duration_s={"TraceService/Export": Histogram((0.001, 0.01), (7, 2, 1), 0.05)},
    batch_items=Histogram((10.0, 100.0), (1, 2, 0), 120.0),
    forwarded_late=1,
    detoured=2,
    over_limit=3,
    fell_back=4,
    split_by_rules=5,
    tracestate_bad=6,
    trace_id_missing=7,
    old_field=8,
    protocol_errors=9,
)


class FakeGateway:
    """Says what its fields hold, and remembers the last question."""

    def __init__(self) -> None:
        self.readiness = (True, "")
        self.book = LEDGER
        self.now = STATUS
        self.question: Question | None = None

    def ledger(self) -> LedgerSnapshot:
        return self.book

    def status(self) -> GatewayStatus:
        return self.now

    def figures(self) -> Figures:
        return FIGURES

    def ready(self) -> tuple[bool, str]:
        return self.readiness

    def explain(self, question: Question) -> Explanation:
        self.question = question
        return Explanation(
            question=question,
            generation=4,
            strategy="consistent_hash",
            owner="blue",
            next_owners=("b:4317",),
            slot=51213,
            kept=None if question.trace_id is None else True,
            sampling_rate=0.5,
            reasons=("the randomness is not below the threshold", "no rule names the service"),
        )

    def config(self) -> tuple[SettingValue, ...]:
        return (
            SettingValue("delivery.ack", "forwarded", "flag", "--ack"),
            SettingValue("backends[0].headers.api-key", "***", "file", "spangate.yaml:7"),
        )
