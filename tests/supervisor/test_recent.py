import pytest

from sidecar.model import Signal
from sidecar.snapshot import Rates
from sidecar.supervisor.recent import WINDOW_S, Recent, Sample
from tests.supervisor.pages import Page, backend_row, ledger_row, read, signal_row


def after(seconds: float, n: int = 1) -> Sample:
    """What two workers have counted after so many seconds, at `n` requests a second."""
    k = round(n * seconds)
    row = ledger_row(
        Signal.TRACES, received=10 * k, forwarded=6 * k, sampled_out=2 * k, rejected=k, dropped={"expired": k}
    )
    figures = {Signal.TRACES: signal_row(requests=k, body_bytes=1000 * k, took_us=[1000] * k)}
    page = Page([row], figures, [backend_row(1, items=4 * k, took_us=[500] * k), backend_row(2, items=2 * k)])
    return Sample(seconds, read(page, page))


def recent(*samples: Sample) -> Recent:
    made = Recent()
    for sample in samples:
        made.add(sample)
    return made


@pytest.mark.parametrize("made", [recent(), recent(after(3.0))])
def test_rates_need_two_samples(made: Recent) -> None:
    assert made.rates() == Rates()
    assert made.latency_ms(0.5) == made.backend_latency_ms(1, 0.5) == 0.0
    assert made.backend_items() == {}


def test_rates_are_sums_of_all_workers_per_second() -> None:
    rates = recent(after(1.0), after(2.0), after(4.0)).rates()
    assert rates == Rates(
        requests=2.0, received=20.0, forwarded=12.0, sampled_out=4.0, refused=4.0, received_bytes=2000.0
    )


def test_only_the_window_counts() -> None:
    """A hundred requests a second at first, then one."""
    slow = [after(100.0 + t) for t in range(3)]
    made = recent(after(1.0, 100), after(2.0, 100), *slow)
    assert made.rates().requests == 2.0
    assert len(made._samples) == 3


def test_samples_are_kept_as_long_as_the_window() -> None:
    made = recent(*(after(t / 4, 0) for t in range(200)))
    assert len(made._samples) == 1 + WINDOW_S * 4


def test_latency_is_that_of_the_window() -> None:
    """500 us each; what took long lies before the window."""
    slow = Page(figures={Signal.TRACES: signal_row(took_us=[10**6] * 100)})
    then = Page(figures={Signal.TRACES: signal_row(took_us=[10**6] * 100 + [500] * 10)})
    made = recent(Sample(1.0, read(slow)), Sample(2.0, read(then)))
    assert 0.256 <= made.latency_ms(0.5) <= made.latency_ms(0.99) <= 0.512


def test_backends() -> None:
    made = recent(after(1.0), after(3.0))
    assert made.backend_items() == {1: 16, 2: 8}
    assert 0.256 <= made.backend_latency_ms(1, 0.5) <= 0.512
    assert made.backend_latency_ms(2, 0.5) == 0.0, "no calls"
    assert made.backend_latency_ms(3, 0.5) == 0.0, "no such backend"


def test_a_backend_that_came_within_the_window() -> None:
    made = recent(Sample(1.0, read(Page())), Sample(2.0, read(Page(peers=[backend_row(1, items=5, took_us=[500])]))))
    assert made.backend_items() == {1: 5}
    assert made.backend_latency_ms(1, 0.5) > 0


def test_a_backend_that_has_left_within_the_window() -> None:
    made = recent(Sample(1.0, read(Page(peers=[backend_row(1, items=5)]))), Sample(2.0, read(Page())))
    assert made.backend_items() == {}
    assert made.backend_latency_ms(1, 0.5) == 0.0


def test_a_backend_whose_figures_begin_anew_has_no_negative_share() -> None:
    """Its settings changed: it has another row, and the former one has gone with what it had counted."""
    before, then = backend_row(1, items=500, took_us=[500] * 9), backend_row(1, items=3, took_us=[500])
    made = recent(Sample(1.0, read(Page(peers=[before]))), Sample(2.0, read(Page(peers=[then]))))
    assert made.backend_items() == {1: 0}
    assert made.backend_latency_ms(1, 0.5) == 0.0
