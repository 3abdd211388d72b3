"""The table of metrics: every one there is, and how its values are read from a snapshot of the gateway.

The names that dashboards and autoscalers know from the Collector (`otelcol_...`) stand beside our own. As there, their
counters do not end in `_total`; the Prometheus client has no type for such a one but `untyped`, which no query minds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from sidecar.model import Signal
from sidecar.snapshot import BackendStatus, Figures, GatewayStatus, Histogram, LedgerRow, LedgerSnapshot, WorkerStatus

Values = Iterable[tuple[tuple[str, ...], float | Histogram]]
"""The values of the labels, and the value."""


class View(NamedTuple):
    """All that the rows read, taken once for a scrape."""

    ledger: LedgerSnapshot
    status: GatewayStatus
    figures: Figures


class Row(NamedTuple):
    """A metric: name as it is scraped, type, help, labels, and how its values are read."""

    name: str
    type: str
    """`counter`, `gauge`, `histogram`, `summary`, or `unknown`: a counter by another name (see above)."""
    help: str
    labels: tuple[str, ...]
    read: Callable[[View], Values]


def _of_backends(value: Callable[[BackendStatus], float]) -> Callable[[View], Values]:
    return lambda view: (((backend.name,), value(backend)) for backend in view.status.backends)


def _of_backends_by_signal(value: Callable[[BackendStatus, Signal], float]) -> Callable[[View], Values]:
    return lambda view: (((b.name, signal), value(b, signal)) for b in view.status.backends for signal in Signal)


def _of_workers(value: Callable[[WorkerStatus], float]) -> Callable[[View], Values]:
    return lambda view: (((str(worker.number),), value(worker)) for worker in view.status.workers)


def _of_gateway(value: Callable[[GatewayStatus], float]) -> Callable[[View], Values]:
    return lambda view: (((), value(view.status)),)


def _of_figures(value: Callable[[Figures], float]) -> Callable[[View], Values]:
    return lambda view: (((), value(view.figures)),)


def _states(view: View) -> Values:
    for row in view.ledger.rows:
        for state in ("received", "forwarded", "sampled_out", "rejected"):
            yield (row.signal, row.service, state), getattr(row, state)
        yield (row.signal, row.service, "dropped"), row.dropped_total


def _requests(view: View) -> Values:
    services: dict[str, int] = {}
    for row in view.figures.requests:
        services[row.service] = services.get(row.service, 0) + row.requests
    return (((view.status.region, service), requests) for service, requests in services.items())


def _received(signal: Signal, value: Callable[[LedgerRow], int]) -> Callable[[View], Values]:
    def read(view: View) -> Values:
        yield ("otlp", "grpc"), sum(value(row) for row in view.ledger.rows if row.signal is signal)

    return read


def _exported(value: Callable[[BackendStatus], float]) -> Callable[[View], Values]:
    return lambda view: ((("otlp/" + backend.name,), value(backend)) for backend in view.status.backends)


def _collector_rows(signal: Signal) -> Iterator[Row]:
    items, transport = signal.items, ("receiver", "transport")
    what = items.replace("_", " ")
    yield Row(
        f"otelcol_receiver_accepted_{items}",
        "unknown",
        f"Number of {what} taken: forwarded, sampled out, or dropped later.",
        transport,
        _received(signal, lambda row: row.forwarded + row.sampled_out + row.dropped_total),
    )
    yield Row(
        f"otelcol_receiver_refused_{items}",
        "unknown",
        f"Number of {what} refused; the client was told.",
        transport,
        _received(signal, lambda row: row.rejected),
    )
    yield Row(
        f"otelcol_exporter_sent_{items}",
        "unknown",
        f"Number of {what} that the backend has accepted.",
        ("exporter",),
        _exported(lambda backend: backend.sent.get(signal, 0)),
    )
    yield Row(
        f"otelcol_exporter_send_failed_{items}",
        "unknown",
        f"Number of {what} that the backend refused for good, or that were given up there.",
        ("exporter",),
        _exported(lambda backend: backend.send_failed.get(signal, 0)),
    )


TABLE: tuple[Row, ...] = (
    # The mission's names.
    Row("otlp_requests_total", "counter", "Export requests, by service.", ("region", "service"), _requests),
    Row(
        "otlp_errors_total",
        "counter",
        "Export requests that were refused, by reason.",
        ("region", "error_type"),
        lambda v: (((v.status.region, error.error_type), error.requests) for error in v.figures.errors),
    ),
    Row(
        "otlp_request_duration_seconds",
        "histogram",
        "Time from the last byte of a request to its answer.",
        ("region", "method"),
        lambda v: (((v.status.region, method), spread) for method, spread in v.figures.duration_s.items()),
    ),
    Row(
        "otlp_batch_size",
        "histogram",
        "Items in a call to a backend.",
        ("region",),
        lambda v: (((v.status.region,), v.figures.batch_items),),
    ),
    # The Collector's names.
    *(row for signal in (Signal.TRACES, Signal.LOGS, Signal.METRICS) for row in _collector_rows(signal)),
    Row(
        "otelcol_exporter_queue_size",
        "gauge",
        "Bytes that wait for the backend.",
        ("exporter",),
        _exported(lambda backend: backend.queue_bytes),
    ),
    Row(
        "otelcol_exporter_queue_capacity",
        "gauge",
        "Bytes that may wait for the backend.",
        ("exporter",),
        _exported(lambda backend: backend.queue_limit_bytes),
    ),
    Row(
        "otelcol_exporter_in_flight_requests",
        "gauge",
        "Calls to the backend that are not answered yet.",
        ("exporter",),
        _exported(lambda backend: backend.calls_in_flight),
    ),
    Row("otelcol_process_uptime", "unknown", "Seconds since the start.", (), _of_gateway(lambda s: s.uptime_s)),
    # The ledger.
    Row(
        "spangate_ledger_items_total",
        "counter",
        "Items by what became of them; those in flight are spangate_in_flight_items.",
        ("signal", "service", "state"),
        _states,
    ),
    Row(
        "spangate_dropped_items_total",
        "counter",
        "Items lost: the client had its OK, or has gone.",
        ("signal", "service", "reason"),
        lambda v: (((r.signal, r.service, why), n) for r in v.ledger.rows for why, n in r.dropped.items()),
    ),
    Row(
        "spangate_sampled_out_items_total",
        "counter",
        "Items sampled out, by whose threshold was the highest: rate, limit, shed, upstream.",
        ("signal", "cause"),
        lambda v: (((t.signal, why), n) for t in v.ledger.totals() for why, n in t.sampled_out_by.items()),
    ),
    Row(
        "spangate_in_flight_items",
        "gauge",
        "Items held right now.",
        ("signal", "service"),
        lambda v: (((row.signal, row.service), row.in_flight) for row in v.ledger.rows),
    ),
    Row(
        "spangate_ledger_difference_items",
        "gauge",
        "Items that cannot be accounted for; anything but 0 is a fault of the gateway.",
        ("signal",),
        lambda v: (((total.signal,), total.difference) for total in v.ledger.totals()),
    ),
    Row(
        "spangate_refused_bytes_total",
        "counter",
        "Bytes of requests that were refused, by reason.",
        ("error_type",),
        lambda v: (((error.error_type,), error.bytes) for error in v.figures.errors),
    ),
    # Oddities.
    Row(
        "spangate_over_limit_items_total",
        "counter",
        "Spans of requests that were refused because a limit was used up.",
        (),
        _of_figures(lambda figures: figures.over_limit),
    ),
    Row(
        "spangate_forwarded_late_items_total",
        "counter",
        "Items that a backend took after their client had been told UNAVAILABLE.",
        (),
        _of_figures(lambda figures: figures.forwarded_late),
    ),
    Row(
        "spangate_detoured_items_total",
        "counter",
        "Items that went to the next owner of their slot, their own being down here.",
        (),
        _of_figures(lambda figures: figures.detoured),
    ),
    Row(
        "spangate_fallback_items_total",
        "counter",
        "Items that stayed in the own region, nobody of the one that a rule names being up.",
        (),
        _of_figures(lambda figures: figures.fell_back),
    ),
    Row(
        "spangate_split_by_rules_items_total",
        "counter",
        "Items that a routing rule parts from others of their trace.",
        (),
        _of_figures(lambda figures: figures.split_by_rules),
    ),
    Row(
        "spangate_bad_tracestates_total",
        "counter",
        "Spans whose tracestate is not well formed, or cannot be true.",
        (),
        _of_figures(lambda figures: figures.tracestate_bad),
    ),
    Row(
        "spangate_missing_trace_ids_total",
        "counter",
        "Spans without a usable trace id.",
        (),
        _of_figures(lambda figures: figures.trace_id_missing),
    ),
    Row(
        "spangate_old_fields_total",
        "counter",
        "Scopes in the place of old that were left out, being there in the new one too.",
        (),
        _of_figures(lambda figures: figures.old_field),
    ),
    Row(
        "spangate_protocol_errors_total",
        "counter",
        "Client connections that were closed for what they sent.",
        (),
        _of_figures(lambda figures: figures.protocol_errors),
    ),
    Row(
        "spangate_accept_errors_total",
        "counter",
        "Times that no client could be let in, mostly for want of descriptors.",
        (),
        _of_figures(lambda figures: figures.accept_errors),
    ),
    # The gateway.
    Row(
        "spangate_build_info",
        "gauge",
        "The version that runs; the value is always 1.",
        ("version",),
        lambda v: (((v.status.version,), 1),),
    ),
    Row("spangate_ready", "gauge", "1 when clients should be sent here.", (), _of_gateway(lambda s: s.ready)),
    Row(
        "spangate_config_generation",
        "gauge",
        "Generation of the policy in force.",
        (),
        _of_gateway(lambda status: status.generation),
    ),
    Row("spangate_sampling_rate", "gauge", "Share kept by default.", (), _of_gateway(lambda s: s.sampling_rate)),
    Row("spangate_memory_bytes", "gauge", "Held in bodies and queues.", (), _of_gateway(lambda s: s.memory_bytes)),
    Row(
        "spangate_memory_limit_bytes",
        "gauge",
        "What bodies and queues may hold.",
        (),
        _of_gateway(lambda status: status.memory_limit_bytes),
    ),
    # Backends.
    Row("spangate_backend_up", "gauge", "1 when it takes calls.", ("backend",), _of_backends(lambda b: b.up)),
    Row("spangate_backend_weight", "gauge", "Weight in force.", ("backend",), _of_backends(lambda b: b.weight)),
    Row("spangate_backend_share", "gauge", "Its part of the items now.", ("backend",), _of_backends(lambda b: b.share)),
    Row(
        "spangate_backend_latency_seconds",
        "summary",
        "Time that it takes to answer a call, by quantile, over the last seconds.",
        ("backend", "quantile"),
        lambda v: (
            ((backend.name, quantile), ms / 1000)
            for backend in v.status.backends
            for quantile, ms in (("0.5", backend.latency_p50_ms), ("0.99", backend.latency_p99_ms))
        ),
    ),
    Row(
        "spangate_backend_sent_items_total",
        "counter",
        "Items that it has accepted.",
        ("backend", "signal"),
        _of_backends_by_signal(lambda backend, signal: backend.sent.get(signal, 0)),
    ),
    Row(
        "spangate_backend_failed_items_total",
        "counter",
        "Items that it refused for good, or that were given up there.",
        ("backend", "signal"),
        _of_backends_by_signal(lambda backend, signal: backend.send_failed.get(signal, 0)),
    ),
    Row(
        "spangate_backend_retried_parts_total",
        "counter",
        "Parts sent to it again.",
        ("backend",),
        _of_backends(lambda backend: backend.retried),
    ),
    Row(
        "spangate_backend_rerouted_parts_total",
        "counter",
        "Parts of its own that went to the next owner.",
        ("backend",),
        _of_backends(lambda backend: backend.rerouted),
    ),
    Row(
        "spangate_backend_rejected_items_total",
        "counter",
        "Items that it rejected by partial_success.",
        ("backend",),
        _of_backends(lambda backend: backend.rejected),
    ),
    # Workers.
    Row("spangate_worker_up", "gauge", "1 when it is alive.", ("worker",), _of_workers(lambda w: w.alive)),
    Row(
        "spangate_worker_generation",
        "gauge",
        "Generation of the policy that it works by.",
        ("worker",),
        _of_workers(lambda worker: worker.generation),
    ),
    Row(
        "spangate_worker_connections",
        "gauge",
        "Client connections that it holds.",
        ("worker",),
        _of_workers(lambda worker: worker.connections),
    ),
    Row(
        "spangate_worker_heartbeat_age_seconds",
        "gauge",
        "Time since it last said that it turns.",
        ("worker",),
        _of_workers(lambda worker: worker.heartbeat_age_s),
    ),
    Row(
        "spangate_worker_restarts_total",
        "counter",
        "Times that it had to be started again.",
        ("worker",),
        _of_workers(lambda worker: worker.restarts),
    ),
    Row(
        "spangate_worker_cpu_seconds_total",
        "counter",
        "Processor time since it started.",
        ("worker",),
        _of_workers(lambda worker: worker.cpu_s),
    ),
)
