"""What is logged to a pipe that nobody reads any more."""

from __future__ import annotations

import os

from sidecar.model import LogFormat, LogLevel
from sidecar.telemetry import log


def test_a_reader_that_has_gone_stops_nobody() -> None:
    read_fd, write_fd = os.pipe()
    with os.fdopen(write_fd, "w", buffering=1) as stream:
        log.configure(LogLevel.INFO, LogFormat.JSON, stream=stream)
        log.logger("test").info("somebody reads this")
        assert b"somebody reads this" in os.read(read_fd, 4096)
        os.close(read_fd)
        log.logger("test").info("nobody reads this")
        log.configure(LogLevel.INFO, LogFormat.TEXT)
        stream_fd, null_fd = stream.fileno(), os.open(os.devnull, os.O_WRONLY)
        os.dup2(null_fd, stream_fd)  # so that closing the stream has somewhere to flush to
        os.close(null_fd)
