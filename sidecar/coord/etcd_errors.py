"""What etcd's answers mean: one table from its words and gRPC's codes to the errors of a store.

The words are those of etcd's api/v3rpc/rpctypes/error.go. They also come as the reason of a cancelled watch, where
there is no code, and tell apart what shares one: no space and too busy are both RESOURCE_EXHAUSTED.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable
from typing import Any, TypeVar

import grpc
import grpc.aio
from grpc import StatusCode

from sidecar.coord.store import (
    Compacted,
    LeaseGone,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
    WentBack,
)

T = TypeVar("T")

_BY_WORDS: dict[str, type[StoreError]] = {
    "required revision has been compacted": Compacted,
    "required revision is a future revision": WentBack,
    "requested lease not found": LeaseGone,
    "database space exceeded": StoreFull,
    "request is too large": StoreFull,
    "Received message larger than max": StoreFull,
    "too many requests": StoreUnavailable,
    "permission denied": StoreDenied,
    "invalid auth token": StoreDenied,
    "revision of auth store is old": StoreDenied,
    "user name is empty": StoreDenied,
    "invalid user ID or password": StoreDenied,
}
_BY_CODE: dict[StatusCode, type[StoreError]] = {
    StatusCode.UNAUTHENTICATED: StoreDenied,
    StatusCode.PERMISSION_DENIED: StoreDenied,
    StatusCode.RESOURCE_EXHAUSTED: StoreFull,
    StatusCode.OUT_OF_RANGE: Compacted,
}
"""Whatever else there is, known or not, leaves open what has happened: StoreUnavailable."""

_TOKEN_REFUSED = ("invalid auth token", "revision of auth store is old", "user name is empty")
NO_CONNECTION = "failed to connect to all addresses"
"""What gRPC says when it has not come to sending anything."""
_NEVER_SENT = (NO_CONNECTION, "DNS resolution failed")
_PREAMBLE = re.compile(rf"^{NO_CONNECTION}; last error: \w+: (ip\w+:\S+: )?")
_NO_LEADER = "etcdserver: no leader"
_NO_AUTH = "authentication is not enabled"


class Refusal(Exception):
    """What came instead of an answer: a gRPC code, and the words of etcd or of gRPC. Stays within the etcd store."""

    def __init__(self, code: StatusCode, words: str) -> None:
        super().__init__(f"{code.name}: {words}")
        self.code = code
        self.words = words

    @property
    def is_of_the_token(self) -> bool:
        """Whether a new token may do better. etcd says so before it does anything, so that any call may be repeated."""
        return any(words in self.words for words in _TOKEN_REFUSED)

    @property
    def nothing_happened(self) -> bool:
        """Whether a write cannot have taken effect: it was not sent, or the member knows no leader to pass it on to."""
        return _NO_LEADER in self.words or self.words.startswith(_NEVER_SENT)

    @property
    def is_late(self) -> bool:
        """Whether the time was up before there was an answer."""
        return self.code is StatusCode.DEADLINE_EXCEEDED

    @property
    def auth_is_off(self) -> bool:
        """Whether the cluster asks for no token at all."""
        return _NO_AUTH in self.words

    def meaning(self) -> type[StoreError]:
        """The error of a store that this is."""
        for words, meaning in _BY_WORDS.items():
            if words in self.words:
                return meaning
        return _BY_CODE.get(self.code, StoreUnavailable)

    def told_by(self, where: object) -> StoreError:
        """That error, with who said it and what."""
        return self.meaning()(f"etcd at {where}: {_plain(self.words) or self.code.name}")


def _plain(words: str) -> str:
    """Without what gRPC puts before the reason that it has, which names the address again."""
    return _PREAMBLE.sub("", words)


async def answer(call: Awaitable[T]) -> T:
    """What the call gives. Refusal instead of all that gRPC raises, a channel that is closed meanwhile included."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise Refusal(error.code(), error.details() or "") from error
    except grpc.aio.UsageError as error:
        raise Refusal(StatusCode.CANCELLED, "the connection is closed") from error
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise Refusal(StatusCode.CANCELLED, "the connection was closed") from None  # gRPC's way to say so


async def say(call: Any, request: Any) -> None:
    """Writes to a stream. One that has ended is no error here: reading from it tells why."""
    with contextlib.suppress(asyncio.InvalidStateError):
        await answer(call.write(request))


async def hear(call: Any) -> Any:
    """The next message of a stream. Refusal when there is none to come."""
    message = await answer(call.read())
    if message is grpc.aio.EOF:
        raise Refusal(StatusCode.UNAVAILABLE, "it has ended the stream")
    return message


async def end(call: Any) -> None:
    """Cancels a stream, and returns when nothing of it is left."""
    call.cancel()
    await call.code()
