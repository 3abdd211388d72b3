from urllib.parse import urlencode

import pytest
from structlog.testing import capture_logs

from sidecar.admin.pages import PAGES
from sidecar.coord.store import StoreUnavailable
from sidecar.model import Signal
from sidecar.snapshot import LedgerRow, LedgerSnapshot, Question
from tests.admin.browser import Browser
from tests.admin.fake_fleet import FakeFleet
from tests.admin.fake_gateway import FakeGateway


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def browser(gateway: FakeGateway) -> Browser:
    return Browser(gateway)


async def test_it_is_alive_whatever_else_is_the_matter(browser: Browser, gateway: FakeGateway) -> None:
    gateway.readiness = (False, "draining")
    answer = await browser.get("/healthz")
    assert (answer.status, answer.text) == (200, "alive\n")


async def test_it_is_ready(browser: Browser) -> None:
    assert (await browser.get("/readyz")).status == 200


@pytest.mark.parametrize("reason", ["draining", "no backend is up"])
async def test_it_is_not_ready_and_says_why(browser: Browser, gateway: FakeGateway, reason: str) -> None:
    gateway.readiness = (False, reason)
    answer = await browser.get("/readyz")
    assert (answer.status, answer.text) == (503, f"{reason}\n")


async def test_metrics_are_in_the_format_of_prometheus(browser: Browser) -> None:
    answer = await browser.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "spangate_backend_up" in answer.text


async def test_the_ledger_has_rows_totals_and_difference(browser: Browser) -> None:
    answer = (await browser.get("/ledger")).json()
    assert answer["rows"][0] == {
        "signal": "traces",
        "service": "checkout",
        "received": 100,
        "forwarded": 60,
        "sampled_out": 20,
        "sampled_out_by": {"rate": 15, "limit": 5},
        "rejected": 5,
        "dropped": {"client_gone": 3, "worker_crash": 2},
        "in_flight": 10,
        "difference": 0,
    }
    assert [(t["signal"], t["service"], t["received"], t["difference"]) for t in answer["totals"]] == [
        ("traces", "*", 107, 0),
        ("logs", "*", 4, 0),
    ]
    assert answer["difference"] == 0


async def test_two_faults_of_the_ledger_do_not_cancel_out(browser: Browser, gateway: FakeGateway) -> None:
    gateway.book = LedgerSnapshot(
        (
            LedgerRow(signal=Signal.TRACES, service="a", received=3),
            LedgerRow(signal=Signal.TRACES, service="b", forwarded=3),
        )
    )
    answer = (await browser.get("/ledger")).json()
    assert [row["difference"] for row in answer["rows"]] == [3, -3]
    assert answer["difference"] == 6


async def test_status_is_json(browser: Browser) -> None:
    answer = (await browser.get("/status")).json()
    assert answer["backends"][0]["sent"] == {"traces": 60, "logs": 1}
    assert answer["rates"]["received"] == 1234


async def test_config_has_values_and_places(browser: Browser) -> None:
    answer = (await browser.get("/config")).json()
    assert answer["delivery.ack"] == {"value": "forwarded", "source": "flag", "where": "--ack"}
    assert answer["backends[0].headers.api-key"]["value"] == "***"


async def test_explain_asks_the_gateway(browser: Browser, gateway: FakeGateway) -> None:
    trace_id = "5B8EFFF798038103D269B633813FC60C"
    query = urlencode({"trace_id": trace_id, "service": "checkout", "signal": "logs"})
    answer = await browser.get(f"/explain?{query}")
    assert gateway.question == Question(signal=Signal.LOGS, trace_id=trace_id.lower(), service="checkout")
    assert answer.json()["owner"] == "blue"


@pytest.mark.parametrize(
    "query", ["", "trace_id=12", "trace_id=" + "0" * 32, "trace_id=" + "g" * 32, "service=a&signal=spans", "service="]
)
async def test_explain_refuses_what_makes_no_sense(browser: Browser, query: str) -> None:
    answer = await browser.get(f"/explain?{query}")
    assert answer.status == 400
    assert answer.json()["error"]


async def test_of_what_is_given_twice_the_first_counts(browser: Browser, gateway: FakeGateway) -> None:
    assert (await browser.get("/explain?service=cart&service=checkout")).status == 200
    assert gateway.question == Question(service="cart")


@pytest.mark.parametrize("page", ["/ledger", "/status", "/config", "/explain?service=cart", "/explain"])
async def test_json_is_one_line(browser: Browser, page: str) -> None:
    answer = await browser.get(page)
    assert answer.headers.keys() == {"content-type", "content-length", "date"}
    assert (answer.headers["content-type"], answer.headers["content-length"]) == (
        "application/json",
        str(len(answer.body)),
    )
    assert answer.body.endswith(b"\n")
    assert answer.body.count(b"\n") == 1


async def test_the_index_names_every_page(browser: Browser) -> None:
    text = (await browser.get("/")).text
    assert all(path in text for path in PAGES)


async def test_nothing_can_be_changed(browser: Browser) -> None:
    answers = [await browser.post(path) for path in PAGES]
    assert [answer.status for answer in answers] == [405] * len(PAGES)
    assert {(answer.headers["allow"], answer.text) for answer in answers} == {("GET,HEAD", "405: Method Not Allowed")}


@pytest.mark.parametrize("path", ["/nowhere", "/healthz/", "//healthz", ""])
async def test_there_is_nothing_else(browser: Browser, path: str) -> None:
    answer = await browser.get(path)
    assert (answer.status, answer.text) == (404, "404: Not Found")


async def test_a_page_that_fails_tells_the_log_and_not_the_client(browser: Browser, gateway: FakeGateway) -> None:
    gateway.now = object()  # type: ignore[assignment]
    with capture_logs() as logged:
        answer = await browser.get("/status")
    assert (answer.status, answer.text) == (500, "500: Internal Server Error")
    assert [(event["event"], event["page"], event["log_level"]) for event in logged] == [
        ("a page failed", "/status", "error")
    ]


async def test_the_topology_is_read_from_the_store(browser: Browser) -> None:
    answer = (await browser.get("/topology")).json()
    assert (answer["revision"], answer["leader"]) == (7, "g1")
    region = answer["regions"][0]
    assert (region["name"], region["health"], region["epoch"], region["effective_rate"]) == ("eu", "degraded", 3, 0.25)
    assert [one["health"] for one in region["collectors"]] == ["healthy", "unhealthy"]


async def test_the_best_collector(browser: Browser) -> None:
    assert (await browser.get("/best")).json()["best"]["id"] == "a"
    answer = (await browser.get("/best?region=asia")).json()
    assert (answer["best"], answer["reason"]) == (None, "there is no region asia")


async def test_a_store_that_is_away_is_told(gateway: FakeGateway) -> None:
    answer = await Browser(gateway, FakeFleet(StoreUnavailable("no quorum"))).get("/topology")
    assert (answer.status, answer.json()["error"]) == (503, "no quorum")
