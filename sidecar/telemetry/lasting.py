"""A log stream that outlives its reader."""

from __future__ import annotations

from contextlib import suppress
from typing import TextIO


class LastingStream:
    """Writes to a stream while somebody reads it. A pipe that nobody reads any more must not stop a gateway.

    There is nobody left who could be told: what is written after that is lost, and nothing else happens.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """The text, if anybody reads it."""
        with suppress(BrokenPipeError, ValueError):  # ValueError: the stream is closed
            self._stream.write(text)

    def flush(self) -> None:
        """What is buffered, if anybody reads it."""
        with suppress(BrokenPipeError, ValueError):
            self._stream.flush()
