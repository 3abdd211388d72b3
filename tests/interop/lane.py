"""The lane of an interop test: a client speaks to the gateway through a tap, and the gateway to sinks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sidecar.model import Signal
from tests.harness import tap
from tests.harness.gateway import Gateway
from tests.harness.otlp import Item, counted
from tests.harness.patience import until
from tests.harness.proxy import Proxy
from tests.harness.sink import Sink, arrived


class Lane:
    """What the client connects to is `address`."""

    def __init__(self, gateway: Gateway, proxy: Proxy, sinks: Sequence[Sink]) -> None:
        self.gateway, self.sinks = gateway, sinks
        self.address = proxy.address
        self._proxy = proxy
        self._before = {signal: gateway.ledger(signal) for signal in Signal}

    def messages(self) -> list[tap.Message]:
        """What has come from clients so far, as it travelled."""
        return tap.messages(self._proxy.tapped)

    def received(self, signal: Signal) -> int:
        """How many items of the signal the ledger has got since the lane was opened."""
        return self.gateway.ledger(signal).received - self._before[signal].received

    def forwarded(self, signal: Signal) -> int:
        """How many of them backends have."""
        return self.gateway.ledger(signal).forwarded - self._before[signal].forwarded

    def settle(self, *signals: Signal, at_least: int = 1) -> Counter[Item]:
        """Waits until the gateway has nothing in flight; then everything sent is at the sinks, and all of it once."""
        until(lambda: sum(map(self.received, signals)) >= at_least, f"{at_least} items arrive")
        until(lambda: not any(self.gateway.ledger(signal).in_flight for signal in signals), "they are forwarded")
        found = sum((arrived(self.sinks, signal) for signal in signals), Counter[Item]())
        assert found == counted(message.body for message in self.messages())
        return found


@contextmanager
def lane(gateway: Gateway, sinks: Sequence[Sink]) -> Iterator[Lane]:
    """A lane of its own through a gateway that others have used."""
    for sink in sinks:
        sink.received.clear()
    with Proxy(gateway.port, tap=True) as proxy:
        yield Lane(gateway, proxy, sinks)
