import io
import os
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.console import Console, Group

from sidecar.cli import demo
from sidecar.cli.demo import screen
from sidecar.cli.demo.backends import Books
from sidecar.cli.demo.books import Came, Sent, faults
from sidecar.cli.demo.child import environment
from sidecar.cli.demo.sightings import WINDOW_S, Sightings
from sidecar.cli.demo.traffic import PURCHASE, services
from sidecar.errors import Exit, PathUnwritable
from sidecar.model import Signal
from sidecar.snapshot import LedgerRow, LedgerSnapshot
from tests.admin.fake_gateway import STATUS
from tests.cli.command_line import spangate


def row(received: int, *, forwarded: int, sampled_out: int = 0, rejected: int = 0) -> LedgerRow:
    return LedgerRow(
        signal=Signal.TRACES,
        service="*",
        received=received,
        forwarded=forwarded,
        sampled_out=sampled_out,
        rejected=rejected,
    )


def request(*spans: tuple[bytes, bytes]) -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    scope = message.resource_spans.add().scope_spans.add()
    for trace_id, span_id in spans:
        scope.spans.add(trace_id=trace_id, span_id=span_id)
    return message


# ---- the books


def test_copies_and_split_traces_are_counted() -> None:
    books = Books(2)
    books.enter(0, request((b"t1", b"a"), (b"t1", b"b"), (b"t2", b"c")))
    books.enter(0, request((b"t1", b"a")))
    books.enter(1, request((b"t1", b"d"), (b"t1", b"e"), (b"t3", b"f")))
    came = books.came(("x:1", "y:1"))
    assert came == Came(("x:1", "y:1"), spans=(4, 3), distinct=6, traces=3, split=1)
    assert came.twice == 1


def test_what_was_seen_is_known_for_a_minute_at_least() -> None:
    seen = Sightings(0.0)
    assert seen.first(b"a", 1) is None
    seen.age(WINDOW_S)
    assert seen.first(b"a", 2) == 1
    seen.age(2 * WINDOW_S)
    assert seen.first(b"a", 2) == 1, "it was seen in between"
    seen.age(3 * WINDOW_S)
    seen.age(4 * WINDOW_S)
    assert seen.first(b"a", 2) is None


ALL_IS_WELL = ""
BOOKS = [
    (row(9, forwarded=6, sampled_out=3), Sent(9, 9), Came(spans=(6,), distinct=6), ALL_IS_WELL),
    (row(9, forwarded=7, rejected=2), Sent(9, 7, 2), Came(spans=(9,), distinct=8), ALL_IS_WELL),
    (row(9, forwarded=7), Sent(9, 7), Came(spans=(7,), distinct=7), "cannot account for 2 spans"),
    (row(9, forwarded=9), Sent(9, 9), Came(spans=(8,), distinct=8), "1 spans count as forwarded"),
    (row(9, forwarded=8, rejected=1), Sent(9), Came(spans=(12,), distinct=10), "2 spans more than the ledger"),
    (row(9, forwarded=8, rejected=1), Sent(9, 9), Came(spans=(8,), distinct=8), "1 spans were acknowledged and lost"),
]


@pytest.mark.parametrize(("ledger", "sent", "came", "told"), BOOKS)
def test_books_that_do_not_agree(ledger: LedgerRow, sent: Sent, came: Came, told: str) -> None:
    found = faults(ledger, sent, came)
    assert len(found) == (told != ALL_IS_WELL)
    assert told in "".join(found)


def test_the_shop_has_five_services() -> None:
    assert list(services(PURCHASE)) == ["storefront", "checkout", "inventory", "payment", "mailer"]


# ---- what is shown


MANY = 12_345_678


def frame() -> Group:
    ledger = row(MANY, forwarded=MANY)
    return screen.frame(
        STATUS,
        LedgerSnapshot((ledger,)),
        ledger,
        Sent(MANY, MANY, MANY),
        Came(("a",), (MANY,), MANY, MANY // 11, 12),
        title="demo: 2,000 spans/s from five services and their SDKs; Ctrl-C drains and ends",
        notice="",
    )


def test_it_fits_a_terminal_of_80_columns_and_24_lines() -> None:
    console = Console(width=80, file=io.StringIO())
    console.print(frame())
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert [line for line in lines if "…" in line or len(line) > 80] == []
    assert len(lines) <= 24


def test_its_picture_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    screen.save(frame(), tmp_path / "demo.svg")
    picture = (tmp_path / "demo.svg").read_text(encoding="utf-8")
    ET.fromstring(picture)  # noqa: S314  it is ours
    assert "12,345,678" in picture
    assert set(re.findall(r"https?://[^\s\"')]+", picture)) == {"http://www.w3.org/2000/svg"}


def test_a_picture_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(PathUnwritable, match="no such file or directory"):
        screen.save(frame(), tmp_path / "nowhere" / "demo.svg")


# ---- the command


def test_an_extra_that_is_not_installed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "NEEDED", ("json", "there_is_no_such_module", "nor.this_one"))
    ended = spangate(capsys, "demo")
    assert ended.code == Exit.DEMO
    assert ended.err == (
        "error: the demo needs there_is_no_such_module, nor.this_one\nhint: pip install 'spangate[demo]'\n"
    )


def test_an_address_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    ended = spangate(capsys, "demo", "--listen", "here")
    assert ended.code == Exit.USAGE
    assert "invalid value for '--listen': 'here' has no port" in ended.err


def test_settings_of_the_environment_stay_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SPANGATE_CONFIG", "OTEL_SDK_DISABLED", "GRPC_TRACE", "HTTP_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OF_THE_USER", "1")
    kept = environment()
    assert kept == {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SPANGATE_", "OTEL_", "GRPC_")) and not name.lower().endswith("_proxy")
    }
    assert kept["OF_THE_USER"] == "1"
