"""The log: one line per event on standard error, as text or JSON, and never a flood.

An event is a constant sentence; what varies goes into its fields. That makes the sentence the key by which repeats are
counted: the tenth within ten seconds says that it is the last, the first one after them says how many were left out.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

from sidecar.clock import Clock, SystemClock
from sidecar.model import LogFormat, LogLevel
from sidecar.telemetry.absent import absent
from sidecar.telemetry.lasting import LastingStream

# structlog takes rich for its tracebacks where it is installed. Ours are plain, and rich would cost each process 5 MB.
with absent("rich"):
    import structlog
    from structlog.typing import FilteringBoundLogger, Processor

Event = MutableMapping[str, Any]

LIMIT = 10
WINDOW_S = 10.0
LIMIT_KEYS = 1000
"""Distinct events that are remembered; above it the oldest is forgotten."""


class RateLimit:
    """A processor that lets `LIMIT` events of one logger and sentence through in `WINDOW_S` seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[tuple[Any, Any], tuple[float, int]] = {}

    def __call__(self, _logger: object, _method: str, event: Event) -> Event:
        """The event, perhaps with `suppressed` or `muted_s`; DropEvent when there were too many."""
        key = (event.get("room"), event.get("event"))
        now = self._clock.monotonic_s()
        start, seen = self._windows.get(key, (now, 0))
        if now - start >= WINDOW_S:
            if seen > LIMIT:
                event["suppressed"] = seen - LIMIT
            start, seen = now, 0
        self._windows.pop(key, None)
        self._windows[key] = (start, seen + 1)
        if len(self._windows) > LIMIT_KEYS:
            del self._windows[next(iter(self._windows))]
        if seen >= LIMIT:
            raise structlog.DropEvent
        if seen == LIMIT - 1:
            event["muted_s"] = round(start + WINDOW_S - now, 1)
        return event


class _Bridge(logging.Handler):
    """Carries what libraries say through `logging` to the same place, in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"exc_info": record.exc_info} if record.exc_info else {}
        structlog.get_logger(room=record.name).log(record.levelno, record.getMessage(), **fields)


def configure(level: LogLevel, form: LogFormat, *, stream: TextIO | None = None, clock: Clock | None = None) -> None:
    """Write events from `level` up to `stream` (standard error), as `form`. Calling it again changes both."""
    least = logging.getLevelNamesMapping()[level.upper()]
    out = sys.stderr if stream is None else stream
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            RateLimit(clock or SystemClock()),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *_renderers(form, colors=out.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, LastingStream(out))),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_Bridge()]
    root.setLevel(max(least, logging.WARNING))


def logger(name: str) -> FilteringBoundLogger:
    """The logger of one room, as in `logger("admin")`."""
    bound: FilteringBoundLogger = structlog.get_logger(room=name)
    return bound


def _renderers(form: LogFormat, *, colors: bool) -> list[Processor]:
    if form is LogFormat.JSON:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # Plain, since a traceback that shows local variables shows secrets.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=0, exception_formatter=plain)]
