"""The traffic: a small shop of five services, each with an OpenTelemetry SDK of its own, as it comes from PyPI.

    python -m sidecar.cli.demo.traffic

Waits for a line with an `Order`; then prints what was sent as a line of JSON (`books.Sent`), again for every further
line, and a last time when its input has ended and everything is flushed.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Mapping, Sequence
from threading import Event, Lock, Thread
from typing import NamedTuple

import msgspec
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, set_span_in_context

from sidecar.cli.demo.books import Order, Sent
from sidecar.cli.demo.child import print_report, report_when_asked

PAUSE_S = 0.02
SCHEDULE_MS = 300
QUEUE = 32768
"""Spans of a service that may wait for export: enough for seconds at rates that one Python process can make."""
FLUSH_S = 15.0
DECLINED = 0.04
"""Payments that fail."""
STEP_NS = 1_500_000


class CardDeclined(Exception):
    """What goes wrong in a shop."""


class Call(NamedTuple):
    """A span, and the spans below it."""

    service: str
    name: str
    kind: SpanKind
    attributes: Mapping[str, str | int]
    below: Sequence[Call] = ()


def _rpc(caller: str, service: str, method: str, below: Sequence[Call] = ()) -> Call:
    """A remote call: a span on either side."""
    attributes = {"rpc.system": "grpc", "rpc.method": method, "server.address": service}
    answering = Call(service, method, SpanKind.SERVER, attributes, below)
    return Call(caller, method, SpanKind.CLIENT, attributes, (answering,))


def _query(service: str, statement: str) -> Call:
    attributes: dict[str, str | int] = {
        "db.system.name": "postgresql",
        "db.query.summary": statement,
        "server.port": 5432,
    }
    return Call(service, statement, SpanKind.CLIENT, attributes)


class Done(NamedTuple):
    """How a call ended."""

    at_ns: int
    spans: int
    failed: bool


CHARGE = "payment.Payment/Charge"
MAIL = (
    Call(
        "checkout",
        "send orders",
        SpanKind.PRODUCER,
        {"messaging.system": "kafka", "messaging.destination.name": "orders"},
        (Call("mailer", "process orders", SpanKind.CONSUMER, {"messaging.system": "kafka"}),),
    ),
)
RESERVE = _rpc(
    "checkout",
    "inventory",
    "inventory.Inventory/Reserve",
    (_query("inventory", "SELECT stock"), _query("inventory", "UPDATE stock")),
)
PLACE = _rpc("storefront", "checkout", "checkout.Checkout/Place", (RESERVE, _rpc("checkout", "payment", CHARGE), *MAIL))
PURCHASE = Call(
    "storefront",
    "POST /checkout",
    SpanKind.SERVER,
    {"http.request.method": "POST", "http.route": "/checkout", "url.scheme": "https"},
    (PLACE,),
)


class Tally:
    """Counts of several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sent = Sent()

    def add(self, *, made: int = 0, acknowledged: int = 0, failed: int = 0) -> None:
        """Count on."""
        with self._lock:
            sent = self._sent
            self._sent = Sent(sent.made + made, sent.acknowledged + acknowledged, sent.failed + failed)

    def report(self) -> bytes:
        """The count now, as JSON."""
        return msgspec.json.encode(self._sent)


class Witness(SpanExporter):
    """Hands spans to an exporter and notes what became of them."""

    def __init__(self, exporter: SpanExporter, tally: Tally) -> None:
        self._exporter = exporter
        self._tally = tally

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._tally.add(acknowledged=len(spans))
        else:
            self._tally.add(failed=len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class Shop:
    """The services. `purchase` makes one trace through all of them."""

    def __init__(self, endpoint: str, tally: Tally, dice: random.Random) -> None:
        self._tally = tally
        self._dice = dice
        self._providers: dict[str, TracerProvider] = {}
        self._tracers: dict[str, Tracer] = {}
        for service in services(PURCHASE):
            provider = TracerProvider(resource=Resource.create({"service.name": service, "service.version": "1.0"}))
            exporter = Witness(OTLPSpanExporter(endpoint=endpoint, insecure=True), tally)
            provider.add_span_processor(
                BatchSpanProcessor(exporter, max_queue_size=QUEUE, schedule_delay_millis=SCHEDULE_MS)
            )
            self._providers[service] = provider
            self._tracers[service] = provider.get_tracer("shop")

    def purchase(self) -> int:
        """A trace; the number of its spans. Its times lie in the past: nobody sleeps for them."""
        declined = self._dice.random() < DECLINED
        done = self._make(PURCHASE, None, time.time_ns() - 20 * STEP_NS, declined=declined)
        self._tally.add(made=done.spans)
        return done.spans

    def _make(self, call: Call, above: Context | None, start_ns: int, *, declined: bool) -> Done:
        """Makes a span and those below it. One that fails ends those above it, as they are."""
        tracer = self._tracers[call.service]
        span = tracer.start_span(call.name, above, call.kind, call.attributes, start_time=start_ns)
        inside = set_span_in_context(span)
        now_ns, spans, failed = start_ns + self._moment(), 1, False
        if declined and call.name == CHARGE and call.kind is SpanKind.SERVER:
            span.record_exception(CardDeclined("insufficient funds"), timestamp=now_ns)
            failed = True
        for lower in call.below:
            if failed:
                break
            done = self._make(lower, inside, now_ns, declined=declined)
            now_ns, spans, failed = done.at_ns, spans + done.spans, done.failed
        if failed:
            span.set_status(Status(StatusCode.ERROR, "the card was declined"))
        now_ns += self._moment()
        span.end(end_time=now_ns)
        return Done(now_ns, spans, failed)

    def _moment(self) -> int:
        return round(STEP_NS * self._dice.uniform(0.2, 1.0))

    def close(self) -> None:
        """Flush and end: the services at the same time, as they would; bounded, where nobody takes the spans."""
        threads = [Thread(target=provider.shutdown, daemon=True) for provider in self._providers.values()]
        for thread in threads:
            thread.start()
        end_s = time.monotonic() + FLUSH_S
        for thread in threads:
            thread.join(max(end_s - time.monotonic(), 0))


def services(call: Call) -> dict[str, None]:
    """The services of a call and those below it, in the order of their appearance."""
    found = {call.service: None}
    for lower in call.below:
        found |= services(lower)
    return found


def make(shop: Shop, rate: int, stop: Event) -> None:
    """Purchases, so that `rate` spans a second come about; what could not be made in time is not made up for."""
    owed, last_s = 0.0, time.monotonic()
    while not stop.wait(PAUSE_S):
        now_s = time.monotonic()
        owed = min(owed + rate * (now_s - last_s), rate / 4 + 1)
        last_s = now_s
        while owed > 0 and not stop.is_set():
            owed -= shop.purchase()


def main() -> None:
    """Wait for the order, then trade until the input ends."""
    line = sys.stdin.buffer.readline()
    if not line:
        return
    order = msgspec.json.decode(line, type=Order)
    tally, stop = Tally(), Event()
    shop = Shop(order.endpoint, tally, random.Random())
    seller = Thread(target=make, args=(shop, order.rate, stop), daemon=True)
    seller.start()
    print_report(tally.report())
    report_when_asked(tally.report)
    stop.set()
    seller.join()
    shop.close()
    print_report(tally.report())


if __name__ == "__main__":
    main()
