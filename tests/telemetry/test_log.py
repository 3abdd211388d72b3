import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from sidecar.model import LogFormat, LogLevel
from sidecar.telemetry import log


class HandClock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def monotonic_ns(self) -> int:
        return int(self.now_s * 1e9)


@pytest.fixture(autouse=True)
def _leave_the_log_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = before


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def out(clock: HandClock) -> io.StringIO:
    out = io.StringIO()
    log.configure(LogLevel.INFO, LogFormat.JSON, stream=out, clock=clock)
    return out


def events(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_json_is_one_object_a_line(out: io.StringIO) -> None:
    log.logger("deliver").warning("a backend is down", backend="a:1")
    (event,) = events(out)
    assert event.pop("timestamp")
    assert event == {"event": "a backend is down", "level": "warning", "room": "deliver", "backend": "a:1"}


def test_text_is_one_line_without_colours() -> None:
    out = io.StringIO()
    log.configure(LogLevel.INFO, LogFormat.TEXT, stream=out)
    log.logger("deliver").warning("a backend is down", backend="a:1")
    assert out.getvalue().endswith("Z [warning  ] a backend is down backend=a:1 room=deliver\n")


def test_what_is_below_the_level_is_not_written(out: io.StringIO) -> None:
    log.logger("deliver").debug("a part was sent")
    assert out.getvalue() == ""


def test_a_logger_follows_a_later_configuration(out: io.StringIO, clock: HandClock) -> None:
    early = log.logger("deliver")
    log.configure(LogLevel.DEBUG, LogFormat.JSON, stream=out, clock=clock)
    early.debug("a part was sent")
    assert len(events(out)) == 1


def test_what_repeats_is_counted_and_not_written(out: io.StringIO, clock: HandClock) -> None:
    for number in range(25):
        clock.now_s = 1 + number / 10
        log.logger("deliver").info("a call failed", number=number)
    written = events(out)
    assert [event["number"] for event in written] == list(range(10))
    assert written[-1]["muted_s"] == 9.1
    clock.now_s = 11.0
    log.logger("deliver").info("a call failed", number=25)
    assert events(out)[-1]["suppressed"] == 15
    log.logger("deliver").info("a call failed", number=26)
    assert "suppressed" not in events(out)[-1]


def test_other_events_and_rooms_are_counted_apart(out: io.StringIO) -> None:
    for _ in range(20):
        log.logger("deliver").info("a call failed")
    log.logger("deliver").info("a call was made")
    log.logger("receive").info("a call failed")
    assert len(events(out)) == 12


def test_the_memory_of_events_is_bounded(clock: HandClock) -> None:
    limit = log.RateLimit(clock)
    for number in range(3 * log.LIMIT_KEYS):
        limit(None, "info", {"event": f"sentence {number}"})
    assert len(limit._windows) == log.LIMIT_KEYS


def test_libraries_are_heard_in_the_same_form(out: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").error("cannot %s", "answer")
    logging.getLogger("uvicorn.access").info("GET /")
    (event,) = events(out)
    assert (event["room"], event["event"], event["level"]) == ("uvicorn.error", "cannot answer", "error")


@pytest.mark.parametrize("form", list(LogFormat))
def test_a_traceback_shows_no_local_variable(form: LogFormat) -> None:
    out = io.StringIO()
    log.configure(LogLevel.INFO, form, stream=out)
    secret = str(id(out))
    try:
        assert int(secret[:0])
    except ValueError:
        log.logger("deliver").exception("it failed")
    assert "ValueError: " in out.getvalue()
    assert secret not in out.getvalue()
