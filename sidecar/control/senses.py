"""What the fleet's part of a gateway has to know of the rest of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sidecar.control.records import CollectorRecord
from sidecar.sampling.plan import Observed
from sidecar.snapshot import Load


class Senses(Protocol):
    """Each call is cheap and blocks on nothing. Rates are per second, over the last few seconds."""

    def load(self) -> Load:
        """How this gateway does."""

    def observed(self) -> Observed:
        """Spans by service."""

    def collector(self) -> CollectorRecord | None:
        """The collector beside it."""

    def collector_loads(self) -> Mapping[str, Load]:
        """The members that it sends to, by address as text: their latency and errors as seen from here."""

    def suspects(self) -> Mapping[str, str]:
        """The members that it cannot reach, by address as text, and why."""
