"""The methods of a service as gRPC wants them: made from the descriptor, every error told, strangers turned away."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from sidecar.admin.failure import told
from sidecar.errors import SpangateError
from sidecar.model import Secret
from sidecar.telemetry import log

Context = grpc.aio.ServicerContext[Any, Any]
Unary = Callable[[Message], Awaitable[Message]]
Streaming = Callable[[Message], Any]
"""Gives an async generator of messages."""


def handler_of(
    service: ServiceDescriptor, methods: dict[str, Callable[..., Any]], token: Secret | None
) -> grpc.GenericRpcHandler:
    """A handler of all methods; `methods` by their names in the descriptor, each must be there.

    Callers on a Unix socket have been let in by the file's mode; others have to show `token`.
    """
    handlers = {method.name: _handler(method, methods[method.name], token) for method in service.methods}
    return grpc.method_handlers_generic_handler(service.full_name, handlers)


def _handler(
    method: MethodDescriptor, answer: Callable[..., Any], token: Secret | None
) -> grpc.RpcMethodHandler[Any, Any]:
    make = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
    guard = _streaming if method.server_streaming else _unary
    return make(
        guard(method.name, answer, token),
        request_deserializer=GetMessageClass(method.input_type).FromString,
        response_serializer=GetMessageClass(method.output_type).SerializeToString,
    )


def _unary(name: str, answer: Unary, token: Secret | None) -> Callable[[Message, Context], Awaitable[Message]]:
    async def call(request: Message, context: Context) -> Message:
        await _admit(context, token)
        try:
            return await answer(request)
        except Exception as error:  # noqa: BLE001  gRPC would tell the caller its text, and us nothing
            await _refuse(name, error, context)

    return call


def _streaming(
    name: str, answer: Streaming, token: Secret | None
) -> Callable[[Message, Context], AsyncIterator[Message]]:
    async def call(request: Message, context: Context) -> AsyncIterator[Message]:
        await _admit(context, token)
        try:
            async with aclosing(answer(request)) as messages:
                async for message in messages:
                    yield message
        except Exception as error:  # noqa: BLE001  as above
            await _refuse(name, error, context)

    return call


async def _admit(context: Context, token: Secret | None) -> None:
    if context.peer().startswith("unix:"):
        return
    shown = dict(context.invocation_metadata() or ()).get("authorization", "")
    wanted = f"Bearer {token.reveal()}" if token else ""
    if not (wanted and hmac.compare_digest(str(shown).encode(), wanted.encode())):
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "this needs `authorization: Bearer TOKEN`")


async def _refuse(name: str, error: Exception, context: Context) -> NoReturn:
    if isinstance(error, SpangateError):
        code, text, trailers = told(error)
        await context.abort(code, text, trailers)
    log.logger("admin").error("a call of the admin service failed", method=name, reason=repr(error), exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, f"the gateway failed: {type(error).__name__}; its log has more")
