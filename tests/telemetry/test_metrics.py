import re

from prometheus_client.parser import text_string_to_metric_families

from sidecar.telemetry.metrics import METRICS, render
from tests.admin.fake_gateway import FakeGateway


def samples() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """A scrape, read back by the parser of the Prometheus client."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(render(FakeGateway()).decode())
        for sample in family.samples
    }


def value(name: str, **labels: str) -> float:
    return samples()[name, tuple(sorted(labels.items()))]


def test_names_that_dashboards_of_the_collector_know() -> None:
    entrance = {"receiver": "otlp", "transport": "grpc"}
    assert value("otelcol_receiver_accepted_spans", **entrance) == 60 + 20 + 5 + 7
    assert value("otelcol_receiver_refused_spans", **entrance) == 5
    assert value("otelcol_receiver_accepted_log_records", **entrance) == 0
    assert value("otelcol_receiver_accepted_metric_points", **entrance) == 0
    assert value("otelcol_exporter_sent_spans", exporter="otlp/blue") == 60
    assert value("otelcol_exporter_sent_log_records", exporter="otlp/blue") == 1
    assert value("otelcol_exporter_send_failed_spans", exporter="otlp/b:4317") == 5
    assert value("otelcol_exporter_queue_size", exporter="otlp/blue") == 1 << 20
    assert value("otelcol_exporter_queue_capacity", exporter="otlp/blue") == 64 << 20


def test_names_of_the_mission() -> None:
    assert value("otlp_requests_total", region="eu-1", service="checkout") == 10
    assert value("otlp_errors_total", region="eu-1", error_type="invalid_argument") == 2
    of_traces = {"region": "eu-1", "method": "TraceService/Export"}
    assert [value("otlp_request_duration_seconds_bucket", le=le, **of_traces) for le in ("0.001", "0.01", "+Inf")] == [
        7,
        9,
        10,
    ]
    assert value("otlp_request_duration_seconds_count", **of_traces) == 10
    assert value("otlp_request_duration_seconds_sum", **of_traces) == 0.05
    assert value("otlp_batch_size_bucket", region="eu-1", le="10.0") == 1
    assert value("otlp_batch_size_sum", region="eu-1") == 120


def test_the_ledger_adds_up_from_metrics_alone() -> None:
    row = {"signal": "traces", "service": "checkout"}
    states = {
        state: value("spangate_ledger_items_total", state=state, **row)
        for state in ("received", "forwarded", "sampled_out", "rejected", "dropped")
    }
    left = states.pop("received") - sum(states.values()) - value("spangate_in_flight_items", **row)
    assert left == 0
    assert value("spangate_dropped_items_total", reason="client_gone", **row) == 3
    assert value("spangate_ledger_difference_items", signal="traces") == 0


def test_names_of_our_own() -> None:
    assert value("spangate_config_generation") == 4
    assert (value("spangate_backend_up", backend="blue"), value("spangate_backend_up", backend="b:4317")) == (1, 0)
    assert value("spangate_backend_latency_seconds", backend="blue", quantile="0.99") == 0.002
    assert value("spangate_worker_restarts_total", worker="0") == 1
    assert value("spangate_build_info", version="0.1.0") == 1


def test_what_is_sampled_out_has_a_cause() -> None:
    assert value("spangate_sampled_out_items_total", signal="traces", cause="rate") == 15
    assert value("spangate_sampled_out_items_total", signal="traces", cause="limit") == 5


def test_what_is_odd_is_counted() -> None:
    assert value("spangate_forwarded_late_items_total") == 1
    assert value("spangate_detoured_items_total") == 2
    assert value("spangate_over_limit_items_total") == 3
    assert value("spangate_fallback_items_total") == 4
    assert value("spangate_split_by_rules_items_total") == 5
    assert value("spangate_bad_tracestates_total") == 6
    assert value("spangate_missing_trace_ids_total") == 7
    assert value("spangate_old_fields_total") == 8
    assert value("spangate_protocol_errors_total") == 9
    assert value("spangate_backend_rejected_items_total", backend="blue") == 0
    assert value("spangate_backend_rejected_items_total", backend="b:4317") == 3


def test_a_service_may_be_called_anything() -> None:
    assert value("spangate_in_flight_items", signal="traces", service='we "b"\n') == 0


def test_the_table_has_every_name_once_and_in_good_form() -> None:
    names = [row.name for row in METRICS]
    assert len(names) == len(set(names))
    assert [name for name in names if not re.fullmatch(r"(otelcol|otlp|spangate)_[a-z0-9_]+", name)] == []
    assert [row.name for row in METRICS if (row.type == "counter") is not row.name.endswith("_total")] == []
    assert [row.name for row in METRICS if not row.help.endswith(".")] == []


def test_every_row_of_the_table_is_scraped() -> None:
    scraped = {re.sub(r"_(bucket|count|sum)$", "", name) for name, _ in samples()}
    assert {row.name for row in METRICS} <= scraped
