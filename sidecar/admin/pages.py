"""What the admin answers at each path. All of it is GET, and reads: nothing can be changed here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from sidecar.errors import QuestionInvalid
from sidecar.model import Signal
from sidecar.ports import Gateway
from sidecar.snapshot import LedgerRow, Question
from sidecar.telemetry import metrics

GATEWAY = web.AppKey("gateway", Gateway)

Page = Callable[[Gateway, web.Request], web.Response]


def index(_gateway: Gateway, _request: web.Request) -> web.Response:
    """What there is."""
    return web.Response(text="".join(f"{path:<10}{page.__doc__}\n" for path, page in PAGES.items()))


def healthz(_gateway: Gateway, _request: web.Request) -> web.Response:
    """200 as long as the gateway is alive, whatever else is the matter."""
    return web.Response(text="alive\n")


def readyz(gateway: Gateway, _request: web.Request) -> web.Response:
    """200 when clients should be sent here, else 503 and the reason: it drains, or no backend is up."""
    ready, reason = gateway.ready()
    return web.Response(text="ready\n") if ready else web.Response(text=f"{reason}\n", status=503)


def metrics_page(gateway: Gateway, _request: web.Request) -> web.Response:
    """All metrics, for Prometheus."""
    return web.Response(body=metrics.render(gateway), headers={"Content-Type": metrics.CONTENT_TYPE})


def ledger(gateway: Gateway, _request: web.Request) -> web.Response:
    """What became of every item, by signal and service, and what cannot be accounted for: JSON."""
    book = gateway.ledger()
    return _json(
        {
            "rows": [_row(row) for row in book.rows],
            "totals": [_row(row) for row in book.totals()],
            "difference": book.difference,
        }
    )


def status(gateway: Gateway, _request: web.Request) -> web.Response:
    """Rates, workers, backends: JSON."""
    return _json(gateway.status())


def config(gateway: Gateway, _request: web.Request) -> web.Response:
    """Every setting in force and where it came from, secrets masked: JSON."""
    return _json({s.path: {"value": s.value, "source": s.source, "where": s.where} for s in gateway.config()})


def explain(gateway: Gateway, request: web.Request) -> web.Response:
    """Where a trace would go, kept or not, and why (?trace_id=HEX&service=NAME&signal=traces): JSON."""
    query = request.query
    try:
        question = Question.read(query.get("trace_id"), query.get("service"), query.get("signal", Signal.TRACES))
        return _json(gateway.explain(question))
    except QuestionInvalid as error:
        return _json({"error": error.message, "hint": error.hint}, status=400)


PAGES: dict[str, Page] = {
    "/": index,
    "/healthz": healthz,
    "/readyz": readyz,
    "/metrics": metrics_page,
    "/ledger": ledger,
    "/status": status,
    "/config": config,
    "/explain": explain,
}


def application(gateway: Gateway) -> web.Application:
    """The pages, over `gateway`."""
    app = web.Application()
    app[GATEWAY] = gateway
    for path, page in PAGES.items():
        app.router.add_get(path, _handler(page))
    return app


def _handler(page: Page) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.Response:
        return page(request.app[GATEWAY], request)

    return handle


def _row(row: LedgerRow) -> dict[str, object]:
    return {**msgspec.to_builtins(row), "difference": row.difference}


def _json(answer: object, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer) + b"\n", status=status, content_type="application/json")
