from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.load.otelcol import CollectorMeter, MetricsUnreadable, Scrape
from sidecar.load.probe import Machine
from sidecar.snapshot import Load
from tests.load.metrics import page

MACHINE = Machine(cpus=4, memory_bytes=1 << 30)


def load_of(*pages: str, every_s: float = 2.0) -> Load:
    """The load after these scrapes."""
    meter = CollectorMeter(MACHINE)
    for i, text in enumerate(pages):
        meter.add(Scrape.read(text.encode(), i * every_s))
    return meter.load()


@pytest.mark.parametrize("suffixes", [False, True])
def test_the_load_of_a_collector(suffixes: bool) -> None:
    before = page(suffixes=suffixes, accepted=10_000, refused=100, sent=5000, send_failed=50, cpu_s=100, rss_bytes=1)
    after = page(
        suffixes=suffixes,
        accepted=11_800,
        refused=300,
        sent=6500,
        send_failed=550,
        cpu_s=102,
        rss_bytes=1 << 28,
        queue=250,
    )
    load = load_of(before, after)
    assert load.qps == pytest.approx(1000)
    assert load.cpu == pytest.approx(1 / 4)
    assert load.memory == pytest.approx(0.25)
    assert load.queue == pytest.approx(0.25)
    assert load.error_rate == pytest.approx(1 - 0.9 * 0.75), "refused at the one door or failed at the other"


def test_one_scrape_tells_no_rates() -> None:
    assert CollectorMeter(MACHINE).load() == Load()
    load = load_of(page(accepted=10**6, cpu_s=50, rss_bytes=1 << 29, queue=1000))
    assert load == Load(memory=0.5, queue=1.0)


def test_a_scrape_that_is_not_later_changes_nothing() -> None:
    meter = CollectorMeter(MACHINE)
    for at_s, accepted in ((0.0, 0), (2.0, 200), (2.0, 999), (1.0, 9)):
        meter.add(Scrape.read(page(accepted=accepted).encode(), at_s))
    assert meter.load().qps == 100


def test_a_collector_that_was_started_again_is_no_peak() -> None:
    load = load_of(
        page(accepted=10**6, cpu_s=500), page(accepted=10**6 + 200, cpu_s=500.2), page(accepted=200, cpu_s=0.2)
    )
    assert load.qps == pytest.approx(100)
    assert load.cpu == pytest.approx(0.1 / 4)


def series(*spans: tuple[str, float]) -> str:
    return "".join(f'otelcol_receiver_accepted_spans{{receiver="{of}"}} {value}\n' for of, value in spans)


def test_series_are_counted_one_by_one() -> None:
    """One that goes must not look like a restart of all the others, one that comes begins at nothing."""
    assert load_of(series(("a", 10**6), ("b", 10**6)), series(("a", 10**6 + 200))).qps == pytest.approx(100)
    assert load_of(series(("a", 10)), series(("a", 10), ("b", 100))).qps == pytest.approx(50)


def test_the_fullest_queue_counts() -> None:
    sizes = {"a": 1, "b": 40, "c": 5, "d": 5}
    capacities = {"a": 10, "b": 50, "c": 0}
    lines = [f'otelcol_exporter_queue_size{{exporter="{of}"}} {n}' for of, n in sizes.items()]
    assert load_of("\n".join(lines)).queue == 0, "of what nobody knows how much it is"
    lines += [f'otelcol_exporter_queue_capacity{{exporter="{of}"}} {n}' for of, n in capacities.items()]
    assert load_of("\n".join(lines)).queue == 0.8


def test_what_a_collector_does_not_show_is_nothing() -> None:
    assert load_of("otelcol_process_memory_rss 1\n", "otelcol_process_memory_rss 1\n") == Load(memory=1 / (1 << 30))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>not here</html>",
        b'{"status": "ok"}',
        b"go_goroutines 5\n",
        b"otelcol_receiver_accepted_spans\n",
        b'otelcol_receiver_accepted_spans{receiver="otlp} 5\n',
        b"otelcol_receiver_accepted_spans many\n",
        b"otelcol_process_cpu_seconds NaN\notelcol_process_memory_rss -5\notelcol_exporter_sent_spans +Inf\n",
        b"otelcol_process_cpu_seconds 5\n\xff\xfe",
        b"otelcol_receiver_accepted_log_records 5\n",
    ],
)
def test_what_are_no_metrics_of_a_collector(text: bytes) -> None:
    with pytest.raises(MetricsUnreadable):
        Scrape.read(text, 0.0)


LINES = [line for line in page(accepted=5, queue=1, cpu_s=2.5).splitlines() if line.startswith("otelcol_")]


@settings(max_examples=200)
@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=6), st.data())
def test_damaged_metrics_are_read_or_refused_and_nothing_else(lines: list[str], data: st.DataObject) -> None:
    text = bytearray("\n".join(lines).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(text)))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"{", b"}", b"="])
        )
    try:
        scrape = Scrape.read(bytes(text), 0.0)
    except MetricsUnreadable:
        return
    assert all(0 <= value < float("inf") for of in scrape.series.values() for value in of.values())
    meter = CollectorMeter(MACHINE)
    meter.add(scrape)
    assert meter.load().queue >= 0
