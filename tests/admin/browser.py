"""Asks the pages of a gateway without a listener: the application is called as a server would call it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from starlette.types import Message, Scope

from sidecar.admin.pages import Fleet, application
from sidecar.ports import Gateway
from tests.admin.fake_fleet import FakeFleet


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class Browser:
    """`gateway` is whose pages are shown."""

    def __init__(self, gateway: Gateway, fleet: Fleet | None = None) -> None:
        self._application = application(gateway, fleet or FakeFleet())

    async def get(self, target: str, method: str = "GET") -> Answer:
        """The answer to a request for `target`, as in `/explain?service=cart`."""
        path, _, query = target.partition("?")
        scope: Scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [],
        }
        said: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            said.append(message)

        await self._application(scope, receive, send)
        start, *parts = said
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], headers, b"".join(part.get("body", b"") for part in parts))

    async def post(self, target: str) -> Answer:
        """The same for POST."""
        return await self.get(target, "POST")
