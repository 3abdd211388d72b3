"""The lane of an interop test: a client speaks to the gateway through a tap, and the gateway to three sinks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sidecar.model import Signal
from tests.harness import tap
from tests.harness.gateway import Gateway, Settings
from tests.harness.otlp import Item, counted
from tests.harness.patience import until
from tests.harness.proxy import Proxy
from tests.harness.sink import Sink, arrived, backends


@dataclass
class Lane:
    """What the client connects to is `port`."""

    gateway: Gateway
    proxy: Proxy
    sinks: list[Sink]

    @property
    def port(self) -> int:
        return self.proxy.port

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.proxy.port}"

    def messages(self) -> list[tap.Message]:
        """What has come from clients so far, as it travelled."""
        return tap.messages(self.proxy.tapped)

    def sent(self) -> Counter[Item]:
        """The items of that."""
        return counted(message.body for message in self.messages())

    def arrived(self, *signals: Signal) -> Counter[Item]:
        """The items that the sinks have of these signals."""
        return sum((arrived(self.sinks, signal) for signal in signals), Counter())

    def settle(self, *signals: Signal, at_least: int = 1) -> Counter[Item]:
        """Waits until the gateway has nothing in flight; then everything sent is at the sinks, and all of that once."""
        until(lambda: sum(self.gateway.ledger(signal).received for signal in signals) >= at_least, "it arrives")
        until(lambda: not any(self.gateway.ledger(signal).in_flight for signal in signals), "it is forwarded")
        found = self.arrived(*signals)
        assert found == self.sent()
        assert found.total() >= at_least
        return found


@contextmanager
def lane(*flags: str, settings: Settings | None = None) -> Iterator[Lane]:
    """A lane with three sinks."""
    with (
        backends(3) as sinks,
        Gateway([sink.port for sink in sinks], *flags, settings=settings) as gateway,
        Proxy(gateway.port, tap=True) as proxy,
    ):
        yield Lane(gateway, proxy, sinks)
