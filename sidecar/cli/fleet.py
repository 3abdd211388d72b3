"""Speaking with the admin service of a running gateway: calls, and errors as they were there."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

import click

from sidecar.cli.way import Given
from sidecar.errors import ConfigInvalid, Exit, QuestionInvalid, Refused, SpangateError

if TYPE_CHECKING:
    import grpc
    from google.protobuf.message import Message

    A = TypeVar("A", bound=Message)

CALL_S = 20.0
"""The longest that a call may take: it may wait for a lock first."""

region_option = click.option("--region", metavar="REGION", default="", help="The configuration of one region.")


class Fleet:
    """A connection to the admin service. Where no way to it was given it is that of the one gateway that runs here."""

    def __init__(self, given: Given) -> None:
        self._way = given.way()
        if reason := self._way.away():
            raise self._way.unreachable(reason)
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what there is to say we say
        self._channel: grpc.Channel = self._way.channel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def call(self, method: str, request: Message, answer: type[A], timeout_s: float = CALL_S) -> A:
        """One call. The error of the gateway is raised as it was there, GatewayUnreachable when there is none."""
        import grpc

        send = self._channel.unary_unary(
            _full(method),
            request_serializer=_bytes,
            response_deserializer=answer.FromString,
        )
        try:
            return send(request, timeout=timeout_s, metadata=self._way.metadata)
        except grpc.RpcError as error:
            self._fail(error, timeout_s)

    def stream(self, method: str, request: Message, answer: type[A]) -> Iterator[A]:
        """The answers of one call, as they come."""
        import grpc

        send = self._channel.unary_stream(
            _full(method),
            request_serializer=_bytes,
            response_deserializer=answer.FromString,
        )
        answers = send(request, metadata=self._way.metadata)
        try:
            yield from answers
        except grpc.RpcError as error:
            self._fail(error)
        finally:
            answers.cancel()

    def _fail(self, error: Any, timeout_s: float = CALL_S) -> NoReturn:
        """Raises what a failed call stands for."""
        import grpc

        from sidecar.admin.failure import heard

        failure = heard(error.trailing_metadata())
        if failure is not None:
            raise _foreseen(failure) from None
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            raise self._way.unwelcome() from None
        if error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED}:
            raise self._way.unreachable((error.details() or "the connection broke").splitlines()[0]) from None
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise self._way.unreachable(f"no answer in {timeout_s:g} s") from None
        raise SpangateError(error.details() or error.code().name.lower()) from None


def author() -> str:
    """Who changes something, as in `ann@host`."""
    name = str(os.getuid())
    with suppress(OSError, KeyError):  # a user without a name has a number
        name = getpass.getuser()
    return f"{name}@{socket.gethostname()}"


def _full(method: str) -> str:
    return f"/spangate.v1.Fleet/{method}"


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()


def _foreseen(failure: Any) -> SpangateError:
    from sidecar.admin.failure import problem_in
    from sidecar.coord.state_file import StoreUnwritable
    from sidecar.coord.store import StoreError

    if failure.problems:
        return ConfigInvalid(map(problem_in, failure.problems))
    kinds: dict[int, type[SpangateError]] = {
        Exit.USAGE: QuestionInvalid,
        Exit.PATH_UNWRITABLE: StoreUnwritable,
        Exit.REFUSED: Refused,
        Exit.STORE: StoreError,
    }
    return kinds.get(failure.exit_code, SpangateError)(failure.message, failure.hint)
