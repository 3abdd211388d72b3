"""What the admin answers at each path. All of it is GET, and reads: nothing can be changed here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Protocol

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sidecar.control.best import Best
from sidecar.control.topology import Topology
from sidecar.coord.store import StoreError
from sidecar.errors import QuestionInvalid
from sidecar.model import Signal
from sidecar.ports import Gateway
from sidecar.snapshot import LedgerRow, Question
from sidecar.telemetry import log

Page = Callable[[Gateway, Request], Response]


class Fleet(Protocol):
    """The fleet that the gateway belongs to. StoreError when its store does not answer."""

    async def topology(self) -> Topology:
        """Everybody, at one revision."""

    async def best(self, region: str | None, weights: str | None) -> Best:
        """The best collector to send to, in that region only if one is given, by other weights. QuestionInvalid."""


FleetPage = Callable[[Fleet, Request], Awaitable[Response]]


def index(_gateway: Gateway, _request: Request) -> Response:
    """What there is."""
    return PlainTextResponse("".join(f"{path:<10}{page.__doc__}\n" for path, page in (PAGES | FLEET_PAGES).items()))


def healthz(_gateway: Gateway, _request: Request) -> Response:
    """200 as long as the gateway is alive, whatever else is the matter."""
    return PlainTextResponse("alive\n")


def readyz(gateway: Gateway, _request: Request) -> Response:
    """200 when clients should be sent here, else 503 and the reason: it drains, or no backend is up."""
    ready, reason = gateway.ready()
    return PlainTextResponse("ready\n") if ready else PlainTextResponse(f"{reason}\n", 503)


def metrics_page(gateway: Gateway, _request: Request) -> Response:
    """All metrics, for Prometheus."""
    from sidecar.telemetry import metrics  # here, since the client takes 2 MB, which who does not scrape need not pay

    return Response(metrics.render(gateway), media_type=metrics.CONTENT_TYPE)


def ledger(gateway: Gateway, _request: Request) -> Response:
    """What became of every item, by signal and service, and what cannot be accounted for: JSON."""
    book = gateway.ledger()
    return _json(
        {
            "rows": [_row(row) for row in book.rows],
            "totals": [_row(row) for row in book.totals()],
            "difference": book.difference,
        }
    )


def status(gateway: Gateway, _request: Request) -> Response:
    """Rates, workers, backends: JSON."""
    return _json(gateway.status())


def config(gateway: Gateway, _request: Request) -> Response:
    """Every setting in force and where it came from, secrets masked: JSON."""
    return _json({s.path: {"value": s.value, "source": s.source, "where": s.where} for s in gateway.config()})


def explain(gateway: Gateway, request: Request) -> Response:
    """Where a trace would go, kept or not, and why (?trace_id=HEX&service=NAME&signal=traces): JSON."""
    query = dict(reversed(request.query_params.multi_items()))  # of what is given twice, the first counts
    question = Question.read(query.get("trace_id"), query.get("service"), query.get("signal", Signal.TRACES))
    return _json(gateway.explain(question))


async def topology(fleet: Fleet, _request: Request) -> Response:
    """Regions, collectors, gateways, targets against what is kept: JSON, read from the store now."""
    return _json(await fleet.topology())


async def best(fleet: Fleet, request: Request) -> Response:
    """The best collector and how all score (?region=NAME: there only; ?weights=load=1,latency=0): JSON."""
    query = request.query_params
    return _json(await fleet.best(query.get("region"), query.get("weights")))


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


FLEET_PAGES: dict[str, FleetPage] = {"/topology": topology, "/best": best}


def application(gateway: Gateway, fleet: Fleet) -> ASGIApp:
    """The pages. No router: the paths are few and fixed, and a table needs no more than a look."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        response = await _answer(gateway, fleet, Request(scope))
        response.headers["date"] = formatdate(usegmt=True)
        await response(scope, receive, send)

    return answer


async def _answer(gateway: Gateway, fleet: Fleet, request: Request) -> Response:
    path = request.scope["path"]
    if path not in PAGES and path not in FLEET_PAGES:
        return PlainTextResponse("404: Not Found", 404)
    if request.method not in {"GET", "HEAD"}:
        return PlainTextResponse("405: Method Not Allowed", 405, {"Allow": "GET,HEAD"})
    try:
        return PAGES[path](gateway, request) if path in PAGES else await FLEET_PAGES[path](fleet, request)
    except QuestionInvalid as error:
        return _json({"error": error.message, "hint": error.hint}, status=400)
    except StoreError as error:
        return _json({"error": error.message, "hint": error.hint}, status=503)
    except Exception:  # noqa: BLE001  whatever it is, the gateway goes on and who asked is told
        log.logger("admin").exception("a page failed", page=request.scope["path"])
        return PlainTextResponse("500: Internal Server Error", 500)


def _row(row: LedgerRow) -> dict[str, object]:
    return {**msgspec.to_builtins(row), "difference": row.difference}


def _json(answer: object, *, status: int = 200) -> Response:
    body = orjson.dumps(answer, default=msgspec.to_builtins, option=orjson.OPT_APPEND_NEWLINE)
    return Response(body, status, media_type="application/json")
