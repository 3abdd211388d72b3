"""Asking the admin of a running gateway, over HTTP."""

from __future__ import annotations

import http.client
import json
import os
from typing import TypeVar
from urllib.parse import urlencode

import click
import msgspec

from sidecar.config import defaults
from sidecar.config.reference import variable_of
from sidecar.errors import GatewayUnreachable, QuestionInvalid
from sidecar.model import Endpoint

T = TypeVar("T")

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_TIMEOUT_S = 5.0


def _endpoint(_context: click.Context, _option: click.Parameter, text: str) -> Endpoint:
    try:
        endpoint = Endpoint.parse(text.removeprefix("http://").rstrip("/"))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} {error}") from None
    return Endpoint(_EVERYWHERE.get(endpoint.host, endpoint.host), endpoint.port)


option = click.option(
    "--admin",
    default=lambda: os.environ.get(variable_of("admin.listen")) or str(defaults.ADMIN_LISTEN),
    callback=_endpoint,
    metavar="HOST:PORT",
    help=f"Where the admin of the gateway listens. [default: {defaults.ADMIN_LISTEN}; {variable_of('admin.listen')}]",
)


def ask(admin: Endpoint, path: str, answer: type[T], **query: str | None) -> T:
    """GET `path` and read the answer as `answer`.

    GatewayUnreachable when nobody answers, or not as a gateway; QuestionInvalid when the gateway refuses the query;
    StoreError when the store of its fleet does not answer.
    """
    wanted = urlencode({key: value for key, value in query.items() if value is not None})
    connection = http.client.HTTPConnection(admin.host, admin.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", f"{path}?{wanted}" if wanted else path)
        response = connection.getresponse()
        body = response.read()
    except TimeoutError:
        raise GatewayUnreachable(str(admin), f"no answer in {_TIMEOUT_S:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        raise GatewayUnreachable(str(admin), getattr(error, "strerror", None) or str(error) or "no HTTP") from None
    finally:
        connection.close()
    if response.status == http.HTTPStatus.BAD_REQUEST:
        raise QuestionInvalid(*_told(body, "the gateway does not understand the question"))
    if response.status == http.HTTPStatus.SERVICE_UNAVAILABLE:
        from sidecar.coord.store import StoreError

        raise StoreError(*_told(body, f"{path} is not available"))
    if response.status != http.HTTPStatus.OK:
        raise GatewayUnreachable(str(admin), f"{path} gives {response.status} {response.reason}")
    try:
        return msgspec.json.decode(body, type=answer)
    except msgspec.MsgspecError as error:
        raise GatewayUnreachable(str(admin), f"{path} gives what no gateway of this version does: {error}") from None


def _told(body: bytes, otherwise: str) -> tuple[str, str]:
    """Error and hint as the gateway gives them."""
    try:
        told = json.loads(body)
        return str(told["error"]), str(told.get("hint", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return otherwise, ""
