"""Metrics of a Collector, as versions and settings write them."""

from __future__ import annotations


def page(
    *,
    accepted: float = 0,
    refused: float = 0,
    sent: float = 0,
    send_failed: float = 0,
    queue: float = 0,
    cpu_s: float = 0,
    rss_bytes: float = 0,
    suffixes: bool = False,
) -> str:
    """A scrape of one receiver and one exporter; with the suffixes of Prometheus, or without as of late."""
    total, size = ("_total", "_bytes") if suffixes else ("", "")
    incoming, outgoing = '{receiver="otlp",transport="grpc"}', '{data_type="traces",exporter="otlp"}'
    return f"""\
# HELP otelcol_exporter_queue_capacity Fixed capacity of the retry queue (in batches). [Alpha]
# TYPE otelcol_exporter_queue_capacity gauge
otelcol_exporter_queue_capacity{outgoing} 1000
# TYPE otelcol_exporter_queue_size gauge
otelcol_exporter_queue_size{outgoing} {queue}
# TYPE otelcol_exporter_sent_spans{total} counter
otelcol_exporter_sent_spans{total}{outgoing} {sent}
# TYPE otelcol_exporter_send_failed_spans{total} counter
otelcol_exporter_send_failed_spans{total}{outgoing} {send_failed}
# TYPE otelcol_process_cpu_seconds{total} counter
otelcol_process_cpu_seconds{total} {cpu_s}
# TYPE otelcol_process_memory_rss{size} gauge
otelcol_process_memory_rss{size} {rss_bytes:.9e}
# TYPE otelcol_receiver_accepted_spans{total} counter
otelcol_receiver_accepted_spans{total}{incoming} {accepted}
# TYPE otelcol_receiver_refused_spans{total} counter
otelcol_receiver_refused_spans{total}{incoming} {refused}
# TYPE target_info gauge
target_info{{service_name="otelcol",service_version="0.160.0"}} 1
"""
